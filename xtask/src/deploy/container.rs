//! A manifest's container, run by podman as it stands, but for its address and its roots.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools::Podman;

/// A pod of one container, as a manifest says it; checks may take something away.
#[derive(Clone, Debug)]
pub(super) struct Container {
    /// The pod's `spec`.
    pod: Value,
}

impl Container {
    /// The pod of the DaemonSet among `documents`.
    pub(super) fn of(documents: &[Value]) -> Result<Self> {
        let set = super::chart::object(documents, "DaemonSet")?;
        Ok(Self { pod: set["spec"]["template"]["spec"].clone() })
    }

    /// The same without a capability.
    pub(super) fn without_capability(mut self, name: &str) -> Result<Self> {
        let added =
            self.context_mut()["capabilities"]["add"].as_array_mut().context("no capability is added")?;
        let before = added.len();
        added.retain(|one| one != name);
        if added.len() == before {
            bail!("{name} is not among the capabilities");
        }
        Ok(self)
    }

    /// The same in a process namespace of its own.
    pub(super) fn without_host_pid(mut self) -> Self {
        self.pod["hostPID"] = Value::Null;
        self
    }

    /// The same without the host's files.
    pub(super) fn without_mounts(mut self) -> Self {
        self.pod["containers"][0]["volumeMounts"] = Value::Array(Vec::new());
        self
    }

    /// The same with a folder of the host in place of another.
    pub(super) fn with_mount(mut self, host: &Path) -> Self {
        let path = host.display().to_string();
        self.pod["volumes"][0]["hostPath"]["path"] = path.clone().into();
        self.pod["containers"][0]["volumeMounts"][0]["mountPath"] = format!("/host{path}").into();
        self
    }

    /// The same with a seccomp profile from a file.
    pub(super) fn with_seccomp(mut self, file: &Path) -> Self {
        let profile =
            serde_json::json!({"type": "Localhost", "localhostProfile": file.display().to_string()});
        self.context_mut()["seccompProfile"] = profile;
        self
    }

    /// The same as another user.
    pub(super) fn with_user(mut self, user: u32) -> Self {
        self.context_mut()["runAsUser"] = user.into();
        self.context_mut()["runAsGroup"] = user.into();
        self
    }

    fn context_mut(&mut self) -> &mut Value {
        &mut self.pod["containers"][0]["securityContext"]
    }

    /// The command that runs it in the foreground.
    pub(super) fn command(
        &self,
        podman: &Podman,
        image: &str,
        address: SocketAddr,
        roots: &[(&str, &Path)],
    ) -> Result<Command> {
        let mut command = podman.command();
        command.args(["run", "--rm", "--network", "host", "--pull", "never", "--image-volume", "ignore"]);
        command.args(self.flags()?).arg(image);
        let given = self.pod["containers"][0]["args"].as_array().context("the container has no arguments")?;
        for argument in given.iter().filter_map(Value::as_str) {
            if !argument.starts_with("--listen=") {
                command.arg(argument);
            }
        }
        command.arg(format!("--listen={address}"));
        for (runtime, root) in roots {
            command.arg(format!("--root={runtime}={}", root.display()));
        }
        Ok(command)
    }

    /// What the manifest says of privileges, limits and mounts, as podman takes it.
    fn flags(&self) -> Result<Vec<String>> {
        let container = &self.pod["containers"][0];
        let context = &container["securityContext"];
        let mut flags = Vec::new();
        let mut flag = |option: &str, value: &str| flags.extend([option.to_owned(), value.to_owned()]);
        let words = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for name in words(&context["capabilities"]["drop"]) {
            flag("--cap-drop", &name);
        }
        for name in words(&context["capabilities"]["add"]) {
            flag("--cap-add", &name);
        }
        match (context["seccompProfile"]["type"].as_str(), &context["seccompProfile"]["localhostProfile"]) {
            (Some("Unconfined"), _) => flag("--security-opt", "seccomp=unconfined"),
            (Some("Localhost"), Value::String(file)) => flag("--security-opt", &format!("seccomp={file}")),
            (Some("RuntimeDefault") | None, _) => {}
            (Some(other), _) => bail!("no seccomp profile of type {other}"),
        }
        if context["allowPrivilegeEscalation"] == false {
            flag("--security-opt", "no-new-privileges");
        }
        flag("--user", &format!("{}:{}", context["runAsUser"], context["runAsGroup"]));
        if let Some(limit) = container["resources"]["limits"]["memory"].as_str() {
            flag("--memory", &limit.replace("Mi", "m"));
        }
        if self.pod["hostPID"] == true {
            flag("--pid", "host");
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volumes = self.pod["volumes"].as_array().context("no volumes")?;
            let volume =
                volumes.iter().find(|volume| volume["name"] == mount["name"]).context("no such volume")?;
            let host = volume["hostPath"]["path"].as_str().context("a volume that is no path of the host")?;
            let place = mount["mountPath"].as_str().context("a mount without a path")?;
            let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
            flag("--volume", &format!("{host}:{place}:{mode},rslave"));
        }
        if context["privileged"] == true {
            flags.push("--privileged".to_owned());
        }
        if context["readOnlyRootFilesystem"] == true {
            flags.extend(["--read-only".to_owned(), "--read-only-tmpfs=false".to_owned()]);
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_becomes_a_command_line() {
        let pod = json!({"hostPID": true, "containers": [{
            "args": ["run", "--listen=0.0.0.0:9737", "--source=auto"],
            "resources": {"limits": {"memory": "96Mi"}},
            "securityContext": {
                "runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}, "seccompProfile": {"type": "Unconfined"}
            },
            "volumeMounts": [{"name": "a", "mountPath": "/host/run", "readOnly": true}]
        }], "volumes": [{"name": "a", "hostPath": {"path": "/run"}}]});
        let documents = [json!({"kind": "DaemonSet", "spec": {"template": {"spec": pod}}})];
        let container = Container::of(&documents).unwrap().without_capability("BPF").unwrap();
        let expected = "--cap-drop ALL --cap-add PERFMON --security-opt seccomp=unconfined \
                        --security-opt no-new-privileges --user 0:0 --memory 96m --pid host \
                        --volume /run:/host/run:ro,rslave --read-only --read-only-tmpfs=false";
        assert_eq!(container.flags().unwrap().join(" "), expected);
        assert!(container.clone().without_capability("BPF").is_err());
        let bare = container.without_host_pid().without_mounts();
        assert!(!bare.flags().unwrap().join(" ").contains("host"));
    }
}
