//! The web configuration against real clients: curl, and a Prometheus that scrapes by TLS with a password.

mod authority;
mod prometheus;
mod user;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    deadline::until,
    scratch::{Medium, Scratch},
    tally::Tally,
    tools::{self, Cache},
};
pub(crate) use authority::Authority;
pub(crate) use prometheus::configuration as scrape_configuration;
pub(crate) use user::{HASH, PASSWORD};

/// Anything here happens well within this, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the agent with a web configuration and asks it.
pub(crate) fn check(agent: &Path, cache: &Cache, tally: &mut Tally) {
    let mut site = None;
    tally.check("curl, openssl, prometheus and the agent with TLS are there", || {
        site = Some(Site::start(agent, cache)?);
        Ok(String::new())
    });
    let Some(site) = site else { return };
    tally.check("curl gets pages by TLS with a password", || site.right_password());
    tally.check("a wrong password, none, and an unknown user get nothing", || site.wrong_password());
    tally.check("plain HTTP on the TLS port is told so and does no harm", || site.plain());
    tally.check("a client that knows another authority does not trust", || site.stranger());
    tally.check("prometheus scrapes by TLS with a password", || {
        let configuration = scrape_configuration(&site.authority.certificate(), site.address);
        prometheus::scrapes(&site.prometheus, &site.scratch, &configuration)
    });
    tally.check("another certificate is served without a restart", || site.rotation());
    tally.check("a certificate that appears after the file that names it is served", || site.later());
    tally.check("a broken file leaves the old one in force", || site.broken());
    tally.check("clients must show a certificate where that is asked for", || site.client_certificates());
}

/// An agent that serves by TLS.
struct Site {
    _agent: Running,
    address: SocketAddr,
    authority: Authority,
    prometheus: PathBuf,
    scratch: Scratch,
}

/// A process that ends with the check.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    fn start(program: &Path, cache: &Cache) -> Result<Self> {
        tools::installed(cache, &["curl", "openssl"])?;
        let prometheus = crate::prometheus::program(cache)?;
        let scratch = Scratch::new(Medium::Disk)?;
        let root = scratch.folder("root")?;
        let authority = Authority::new(&scratch.folder("authority")?)?;
        let web = scratch.folder("web")?;
        authority.sign("server", "first.example", &web)?;
        fs::write(web.join("web.yml"), configuration(""))?;
        let log = scratch.path().join("agent.log");
        let child = Command::new(program)
            .args(["run", "--source", "inotify", "--log-format", "json", "--findings", "none"])
            .args(["--listen", "127.0.0.1:0", "--root", &format!("test={}", root.display()), "--web-config"])
            .arg(web.join("web.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut agent = Running(child);
        let address = until(LIMIT, || {
            let said = fs::read_to_string(&log)?;
            if let Some(status) = agent.0.try_wait()? {
                bail!("the agent ended with {status}: {said}");
            }
            let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let running =
                lines.map(|line| line["fields"].clone()).find(|fields| fields["message"] == "running");
            Ok(running.and_then(|fields| fields["address"].as_str()?.parse().ok()))
        })?
        .context("the agent never said where it serves")?;
        let site = Self { _agent: agent, address, authority, prometheus, scratch };
        until(LIMIT, || Ok(site.curl("/readyz", &[])?.0.ends_with("200 0").then_some(())))?
            .with_context(|| format!("the agent is not ready: {:?}", site.curl("/readyz", &[])))?;
        Ok(site)
    }

    fn web(&self) -> PathBuf {
        self.scratch.path().join("web")
    }

    /// What curl says: its output, and whether it was content.
    fn curl(&self, path: &str, options: &[&str]) -> Result<(String, bool)> {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                "--write-out",
                "\n%{http_code} %{ssl_verify_result}",
            ])
            .arg("--cacert")
            .arg(self.authority.certificate())
            .args(options)
            .arg(format!("https://{}{path}", self.address))
            .output()
            .context("cannot start curl")?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok((said.into_owned(), output.status.success()))
    }

    fn right_password(&self) -> Result<String> {
        for (path, word) in
            [("/metrics", "state_watchdog_build_info"), ("/", "<h1>"), ("/status", "readiness")]
        {
            for version in ["1.2", "1.3"] {
                let options = ["--user", &format!("alice:{PASSWORD}"), "--tls-max", version];
                let (said, fine) = self.curl(path, &options)?;
                ensure!(
                    fine && said.contains(word) && said.ends_with("200 0"),
                    "{path} by TLS {version}: {said}"
                );
            }
        }
        let (said, fine) = self.curl("/livez", &[])?;
        ensure!(fine && said.ends_with("200 0"), "/livez without a password: {said}");
        Ok(String::new())
    }

    fn wrong_password(&self) -> Result<String> {
        for options in [&[][..], &["--user", "alice:wrong"], &["--user", &format!("bob:{PASSWORD}")]] {
            let (said, _) = self.curl("/metrics", options)?;
            ensure!(said.ends_with("401 0") && !said.contains("state_watchdog"), "{options:?}: {said}");
        }
        Ok(String::new())
    }

    fn plain(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.address);
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--max-time", "30", &url])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.contains("400 Bad Request") && said.contains("https"), "{said}");
        ensure!(!said.contains("state_watchdog_"), "metrics came without TLS: {said}");
        self.right_password()
    }

    fn stranger(&self) -> Result<String> {
        let other = Authority::new(&self.scratch.folder("other")?)?;
        let file = other.certificate().display().to_string();
        let (said, fine) = self.curl("/livez", &["--cacert", &file])?;
        ensure!(!fine && said.contains("certificate"), "{said}");
        Ok(String::new())
    }

    /// Which name the served certificate has.
    fn served_name(&self) -> Result<String> {
        let (said, _) = self.curl("/livez", &["--verbose"])?;
        let line =
            said.lines().find_map(|line| line.trim_start_matches(['*', ' ']).strip_prefix("subject: "));
        Ok(line.unwrap_or_default().to_owned())
    }

    fn rotation(&self) -> Result<String> {
        let before = self.served_name()?;
        ensure!(before.contains("first.example"), "{before}");
        // As a secret's volume does it: the new files stand under the names at once.
        let next = self.scratch.folder("next")?;
        self.authority.sign("server", "second.example", &next)?;
        for file in ["server.key", "server.crt"] {
            fs::rename(next.join(file), self.web().join(file))?;
        }
        until(LIMIT, || Ok(self.served_name()?.contains("second.example").then_some(())))?
            .with_context(|| format!("the old certificate is served: {:?}", self.served_name()))?;
        Ok(String::new())
    }

    /// The certificate comes after the configuration that names it, as with an authority that takes its time.
    fn later(&self) -> Result<String> {
        let text = configuration("").replace("server.", "later.");
        fs::write(self.web().join("web.yml"), text)?;
        until(LIMIT, || {
            ensure!(
                self.served_name()?.contains("second.example"),
                "another one is served: {}",
                self.served_name()?
            );
            let log = fs::read_to_string(self.scratch.path().join("agent.log"))?;
            Ok(log.contains("later.crt").then_some(()))
        })?
        .context("the log does not say which file is missing")?;
        let next = self.scratch.folder("later")?;
        self.authority.sign("later", "later.example", &next)?;
        for file in ["later.key", "later.crt"] {
            fs::rename(next.join(file), self.web().join(file))?;
        }
        until(LIMIT, || Ok(self.served_name()?.contains("later.example").then_some(())))?
            .with_context(|| format!("the new certificate is not served, but {:?}", self.served_name()))?;
        Ok(String::new())
    }

    fn broken(&self) -> Result<String> {
        fs::write(self.web().join("web.yml"), configuration("  cert_flie: x\n"))?;
        until(LIMIT, || {
            self.right_password()?;
            let log = fs::read_to_string(self.scratch.path().join("agent.log"))?;
            Ok((log.contains("web.yml:4") && log.contains("cert_flie")).then_some(()))
        })?
        .context("the log does not say what is wrong in the file")?;
        Ok(String::new())
    }

    fn client_certificates(&self) -> Result<String> {
        fs::copy(self.authority.certificate(), self.web().join("ca.crt"))?;
        self.authority.sign("client", "prometheus", &self.web())?;
        let other = Authority::new(&self.scratch.folder("forger")?)?;
        other.sign("forged", "prometheus", &self.web())?;
        let ask = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
        fs::write(self.web().join("web.yml"), configuration(ask))?;
        until(LIMIT, || Ok((!self.curl("/livez", &[])?.1).then_some(())))?
            .context("a client without a certificate is still let in")?;
        let shown = |name: &str| {
            let path = |end: &str| self.web().join(format!("{name}.{end}")).display().to_string();
            let (certificate, key) = (path("crt"), path("key"));
            let user = format!("alice:{PASSWORD}");
            self.curl("/metrics", &["--cert", &certificate, "--key", &key, "--user", &user])
        };
        let (said, fine) = shown("client")?;
        ensure!(fine && said.ends_with("200 0"), "with a certificate: {said}");
        let (said, fine) = shown("forged")?;
        ensure!(!fine && !said.contains("state_watchdog_"), "with a forged certificate: {said}");
        Ok(String::new())
    }
}

/// A web configuration with further lines in its first part.
fn configuration(further: &str) -> String {
    format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{further}\
         basic_auth_users:\n  alice: {HASH}\n"
    )
}
