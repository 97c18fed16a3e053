//! What a person wants to see. Pure.

use crate::report::FileFacts;

/// Runtimes and containers; an empty list lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of runtimes.
    pub runtimes: Vec<String>,
    /// Ids of containers or beginnings of them, names of containers, pods, or `NAMESPACE/POD`.
    pub containers: Vec<String>,
}

impl Filter {
    /// True when nothing is kept out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.runtimes.is_empty() && self.containers.is_empty()
    }

    /// True when the file is one of those wanted.
    #[must_use]
    pub fn lets(&self, file: &FileFacts) -> bool {
        let runtime = self.runtimes.is_empty() || self.runtimes.contains(&file.runtime);
        runtime && (self.containers.is_empty() || self.containers.iter().any(|wanted| is(file, wanted)))
    }
}

fn is(file: &FileFacts, wanted: &str) -> bool {
    let pod = file.pod.as_ref();
    let name = |name: Option<&String>| name.is_some_and(|name| name == wanted);
    let full = pod.and_then(|pod| Some(format!("{}/{}", pod.namespace.as_ref()?, pod.name.as_ref()?)));
    (!wanted.is_empty() && file.container.starts_with(wanted))
        || name(pod.and_then(|pod| pod.name.as_ref()))
        || name(pod.and_then(|pod| pod.container.as_ref()))
        || name(full.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::Pod;

    #[test]
    fn runtimes_and_containers_are_told_apart() {
        let text = |text: &str| Some(text.to_owned());
        let pod =
            Pod { name: text("web-0"), namespace: text("shop"), container: text("app"), ..Pod::default() };
        let file = FileFacts { runtime: "runc".into(), container: "0a1b2c".into(), ..FileFacts::default() };
        let named = FileFacts { pod: Some(pod), ..file.clone() };
        let lets = |runtimes: &[&str], containers: &[&str], file: &FileFacts| {
            let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
            Filter { runtimes: list(runtimes), containers: list(containers) }.lets(file)
        };
        assert!(lets(&[], &[], &file) && lets(&["runc"], &[], &file) && lets(&["crun", "runc"], &[], &file));
        assert!(!lets(&["crun"], &[], &file) && !lets(&["crun"], &["0a1b2c"], &file));
        for wanted in ["0a1b2c", "0a1", "web-0", "app", "shop/web-0"] {
            assert!(lets(&["runc"], &["x", wanted], &named), "{wanted}");
        }
        for wanted in ["", "0a1b2cd", "a1b", "shop", "web"] {
            assert!(!lets(&[], &[wanted], &named), "{wanted}");
        }
        assert!(!lets(&[], &["web-0"], &file));
    }
}
