//! What apt prints, read: package stanzas, index targets, and the way from a meta-package to a kernel.

use std::collections::BTreeMap;

/// For `apt-get indextargets`: where from, which release by the source line and by the index itself, which component.
pub(crate) const TARGET_FORMAT: &str = "$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)";

/// One stanza of a package index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The packages that it needs, alternatives and versions left out.
    pub(crate) depends: Vec<String>,
}

/// Reads stanzas; one without a name is passed over.
pub(crate) fn parse(text: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(stanza).collect()
}

fn stanza(text: &str) -> Option<Package> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = None;
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            // A folded line goes on with the field before it.
            if let Some(field) = last.and_then(|name| fields.get_mut(name)) {
                field.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.insert(name, value.trim().to_owned());
            last = Some(name);
        }
    }
    let mut field = |name: &str| fields.remove(name);
    let depends = field("Depends").unwrap_or_default();
    Some(Package {
        name: field("Package")?,
        version: field("Version").unwrap_or_default(),
        depends: depends
            .split(',')
            .filter_map(|one| one.split('|').next()?.split_whitespace().next())
            .map(|name| name.split(':').next().unwrap_or(name).to_owned())
            .collect(),
    })
}

/// Archives and release names of `codename` and of its updates, from the lines that [`TARGET_FORMAT`] gives: the
/// release itself first, nothing when it is not among them.
pub(crate) fn sources(targets: &str, codename: &str) -> Vec<(String, String)> {
    let (mut own, mut updates) = (Vec::new(), Vec::new());
    for line in targets.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [archive, release, by_index, "main"] = words[..] else { continue };
        let source = (archive.to_owned(), release.to_owned());
        if [release, by_index].contains(&codename) {
            own.push(source);
        } else if [release, by_index]
            .iter()
            .any(|name| name.strip_prefix(codename).is_some_and(|rest| rest.starts_with('-')))
        {
            updates.push(source);
        }
    }
    if !own.is_empty() {
        own.append(&mut updates);
    }
    own
}

/// A value of a file of `NAME=value` lines.
pub(crate) fn value(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

/// Those of a package's needs that may hold a kernel of the cloud flavour, its modules or its configuration.
pub(crate) fn kernel_parts(package: &Package, architecture: &str) -> Vec<String> {
    let flavour = format!("-cloud-{architecture}");
    package
        .depends
        .iter()
        .filter(|name| name.starts_with("linux-") && name.ends_with(&flavour))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_read_with_folded_lines_and_alternatives() {
        let text = "Package: linux-image-a\nVersion: 1.2-3\nDepends: kmod, linux-base (>= 4.3~),\n \
                    initramfs-tools (>= 0.1) | dracut, python3:any\nDescription: a\n kernel\n\n\
                    Version: 9\n\nPackage: b\n";
        let packages = parse(text);
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0].name, "linux-image-a");
        assert_eq!(packages[0].version, "1.2-3");
        assert_eq!(packages[0].depends, ["kmod", "linux-base", "initramfs-tools", "python3"]);
        assert_eq!(packages[1], Package { name: "b".into(), ..Package::default() });
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_kernel_may_be_split_into_packages() {
        let depends = ["dracut", "linux-base-7-cloud-amd64", "linux-binary-7-cloud-amd64", "linux-base"];
        let package = Package { depends: depends.map(str::to_owned).into(), ..Package::default() };
        assert_eq!(
            kernel_parts(&package, "amd64"),
            ["linux-base-7-cloud-amd64", "linux-binary-7-cloud-amd64"]
        );
        assert!(kernel_parts(&package, "arm64").is_empty());
    }

    #[test]
    fn the_release_comes_before_its_updates() {
        let targets = "http://a/security bookworm-security bookworm-security main\n\
                       http://b/tools nodistro nodistro main\n\
                       http://c/debian oldstable bookworm main\n\
                       http://c/debian bookwormish bookwormish main\n";
        let pair = |archive: &str, name: &str| (archive.to_owned(), name.to_owned());
        assert_eq!(
            sources(targets, "bookworm"),
            [pair("http://c/debian", "oldstable"), pair("http://a/security", "bookworm-security")]
        );
        let unread = "http://c/debian bookworm $(CODENAME) main\n";
        assert_eq!(sources(unread, "bookworm"), [pair("http://c/debian", "bookworm")]);
        assert!(sources("http://a/security bookworm-security x main\n", "bookworm").is_empty());
        assert!(sources("", "bookworm").is_empty());
    }

    #[test]
    fn a_value_may_be_quoted() {
        let text = "NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nEMPTY=\n";
        assert_eq!(value(text, "NAME").as_deref(), Some("Debian"));
        assert_eq!(value(text, "VERSION_CODENAME").as_deref(), Some("bookworm"));
        assert_eq!(value(text, "EMPTY"), None);
        assert_eq!(value(text, "VERSION"), None);
    }
}
