//! A certificate authority of a check's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Signs certificates for loopback.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// A new one, with its key in a folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let authority = Self { folder: folder.to_owned() };
        let subject = format!("/CN=authority of {}", folder.display().to_string().replace('/', " "));
        openssl(&[
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ],
            &[
                "-subj",
                &subject,
                "-keyout",
                &word(&folder.join("ca.key")),
                "-out",
                &word(&authority.certificate()),
            ],
        ])?;
        Ok(authority)
    }

    /// The certificate that clients must know.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Leaves `<file>.crt` and `<file>.key` for `name` in a folder.
    pub(crate) fn sign(&self, file: &str, name: &str, folder: &Path) -> Result<()> {
        let path = |end: &str| folder.join(format!("{file}.{end}"));
        let extensions = path("ext");
        fs::write(&extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n")?;
        openssl(&[
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            &["-subj", &format!("/CN={name}"), "-keyout", &word(&path("key")), "-out", &word(&path("csr"))],
        ])?;
        openssl(&[
            &["x509", "-req", "-days", "2", "-in", &word(&path("csr")), "-out", &word(&path("crt"))],
            &[
                "-CA",
                &word(&self.certificate()),
                "-CAkey",
                &word(&self.folder.join("ca.key")),
                "-CAcreateserial",
            ],
            &["-extfile", &word(&extensions)],
        ])
    }
}

fn word(path: &Path) -> String {
    path.display().to_string()
}

fn openssl(arguments: &[&[&str]]) -> Result<()> {
    let output = Command::new("openssl").args(arguments.concat()).output().context("cannot start openssl")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
