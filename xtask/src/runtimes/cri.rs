//! The container runtime interface, as far as the checks need it: gRPC over a Unix socket.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{net::UnixStream, runtime::Runtime};

/// What a manager of containers answers at.
#[derive(Debug)]
pub(super) struct Cri {
    runtime: Runtime,
    socket: PathBuf,
}

/// A pod to be made.
#[derive(Clone, Debug)]
pub(super) struct Pod<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    /// The cgroup below which its containers' cgroups lie.
    pub(super) cgroup: &'a str,
}

impl Cri {
    pub(super) fn new(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, socket: socket.to_owned() })
    }

    /// True when the image is known to it.
    pub(super) fn has_image(&self, image: &str) -> Result<bool> {
        let question = ImageStatusRequest { image: Some(ImageSpec { image: image.to_owned() }) };
        let answer: ImageStatusResponse = self.call("ImageService/ImageStatus", &question)?;
        Ok(answer.image.is_some())
    }

    /// Makes a pod in the host's network; gives the sandbox's id.
    pub(super) fn run_sandbox(&self, pod: &Pod<'_>) -> Result<String> {
        let config = Some(sandbox_config(pod));
        let answer: Id = self.call("RuntimeService/RunPodSandbox", &RunPodSandboxRequest { config })?;
        Ok(answer.id)
    }

    /// Makes and starts a container in it; gives its id.
    pub(super) fn run_container(
        &self,
        sandbox: &str,
        pod: &Pod<'_>,
        name: &str,
        image: &str,
    ) -> Result<String> {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.to_owned() }),
        };
        let question = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config(pod)),
        };
        let made: Id = self.call("RuntimeService/CreateContainer", &question)?;
        let _: Nothing = self.call("RuntimeService/StartContainer", &made)?;
        Ok(made.id)
    }

    /// All pods.
    pub(super) fn sandboxes(&self) -> Result<Vec<String>> {
        let answer: Ids = self.call("RuntimeService/ListPodSandbox", &Nothing {})?;
        Ok(answer.items.into_iter().map(|item| item.id).collect())
    }

    /// Ends a pod and all that is in it.
    pub(super) fn remove_sandbox(&self, sandbox: &str) -> Result<()> {
        let sandbox = Id { id: sandbox.to_owned() };
        let _: Nothing = self.call("RuntimeService/StopPodSandbox", &sandbox)?;
        let _: Nothing = self.call("RuntimeService/RemovePodSandbox", &sandbox)?;
        Ok(())
    }

    fn call<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A> {
        let path = format!("http://localhost/runtime.v1.{method}");
        let answer = self.runtime.block_on(unary(&self.socket, &path, frame(question)));
        let answer = answer.with_context(|| format!("{method} at {}", self.socket.display()))?;
        ensure!(answer.len() >= PREFIX, "{method}: the answer is cut short");
        A::decode(&answer[PREFIX..]).with_context(|| format!("{method}: the answer makes no sense"))
    }
}

fn sandbox_config(pod: &Pod<'_>) -> PodSandboxConfig {
    /// `NamespaceMode::NODE`.
    const NODE: i32 = 2;
    let metadata = PodSandboxMetadata {
        name: pod.name.to_owned(),
        uid: pod.uid.to_owned(),
        namespace: pod.namespace.to_owned(),
        attempt: 0,
    };
    let context = LinuxSandboxSecurityContext { namespace_options: Some(NamespaceOption { network: NODE }) };
    let linux =
        LinuxPodSandboxConfig { cgroup_parent: pod.cgroup.to_owned(), security_context: Some(context) };
    PodSandboxConfig { metadata: Some(metadata), linux: Some(linux) }
}

/// Before each message: one byte that says whether it is compressed, and its length.
const PREFIX: usize = 5;

fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    bytes.put_slice(&message.encode_to_vec());
    bytes.freeze()
}

async fn unary(socket: &Path, path: &str, body: Bytes) -> Result<Vec<u8>> {
    let stream = UnixStream::connect(socket).await.context("cannot connect")?;
    let (mut client, connection) = h2::client::handshake(stream).await?;
    // It ends with the client.
    let connection = tokio::spawn(connection);
    let request =
        http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let (response, mut stream) = client.send_request(request.body(())?, false)?;
    stream.send_data(body, true)?;
    let response = response.await?;
    // A call that fails at once has no trailers of its own.
    let mut status = response.headers().clone();
    let mut body = response.into_body();
    let mut answer = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        answer.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len())?;
    }
    status.extend(body.trailers().await?.unwrap_or_default());
    drop(client);
    connection.abort();
    let text = |name: &str| status.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!(text("grpc-status") == "0", "status {:?}: {}", text("grpc-status"), text("grpc-message"));
    Ok(answer)
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// Most calls speak of one sandbox or container by its id alone.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

/// A list of whatever begins with its id.
#[derive(Clone, PartialEq, Message)]
struct Ids {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Id>,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<LinuxSandboxSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxSandboxSecurityContext {
    #[prost(message, optional, tag = "1")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<Nothing>,
}
