//! What can be asked for on the command line.

/// Which kernels, and what to do beside running them.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "machines")]
pub(crate) struct Options {
    /// Only these kernels, by the names of the table; may be given again.
    #[arg(long, value_name = "NAME")]
    pub(super) kernel: Vec<String>,
    /// Only these ways to events, by the names of the table; may be given again.
    #[arg(long, value_name = "NAME")]
    pub(super) door: Vec<String>,
    /// Ask the releases for newer kernels, instead of taking those that were fetched before.
    #[arg(long)]
    pub(super) refresh: bool,
    /// Judge the agent as `cargo xtask image` puts it into the image; it takes longer to build.
    #[arg(long)]
    pub(super) released: bool,
    /// Only these of the agent's own tests, by a part of their names, and nothing else of what is judged.
    #[arg(long, value_name = "NAME", conflicts_with = "refresh")]
    pub(super) case: Option<String>,
    /// How often those tests are run.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "case")]
    pub(super) times: usize,
}

impl Options {
    /// Nothing was left out.
    pub(super) fn is_everything(&self) -> bool {
        self.kernel.is_empty() && self.door.is_empty()
    }
}
