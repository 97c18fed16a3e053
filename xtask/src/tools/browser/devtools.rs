//! The conversation with a browser: its devtools protocol over a web socket on loopback.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client::client_with_config, protocol::WebSocketConfig};

/// A picture of a long page comes as one message.
const MAX_MESSAGE: usize = 256 << 20;

/// One connection, attached to one page.
pub(super) struct Devtools {
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    next: u64,
    /// What came unasked, in its order.
    events: Vec<Event>,
}

/// Something the browser told by itself.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) method: String,
    pub(super) params: Value,
}

impl Devtools {
    /// Connects to the browser that listens on `port` of loopback under `path`.
    pub(super) fn connect(port: u16, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("cannot reach the browser")?;
        stream.set_nodelay(true)?;
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = client_with_config(url, stream, Some(config))
            .map_err(|error| anyhow::anyhow!("the browser does not take the connection: {error}"))?;
        Ok(Self { socket, session: None, next: 0, events: Vec::new() })
    }

    /// Opens an empty page; every later call is about it.
    pub(super) fn attach(&mut self, limit: Duration) -> Result<()> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}), limit)?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let answer = self.call("Target.attachToTarget", attach, limit)?;
        self.session = Some(answer["sessionId"].as_str().context("the browser gave no session")?.to_owned());
        Ok(())
    }

    /// Asks, and waits at most `limit` for the answer.
    pub(super) fn call(&mut self, method: &str, params: Value, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        self.next += 1;
        let id = self.next;
        let mut request = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.socket
            .send(Message::text(request.to_string()))
            .with_context(|| format!("cannot send {method} to the browser"))?;
        loop {
            let mut message =
                self.receive(deadline).with_context(|| format!("no answer to {method} from the browser"))?;
            if message["id"] == json!(id) {
                ensure!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return Ok(message["result"].take());
            }
            self.keep(message);
        }
    }

    /// Waits for something that the browser tells by itself.
    pub(super) fn wait_for(&mut self, method: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.events.iter().any(|event| event.method == method) {
            let message = self.receive(deadline).with_context(|| format!("no {method} from the browser"))?;
            self.keep(message);
        }
        Ok(())
    }

    /// What was told so far.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Forgets what was told so far.
    pub(super) fn forget(&mut self) {
        self.events.clear();
    }

    fn keep(&mut self, mut message: Value) {
        if let Some(method) = message["method"].as_str() {
            let method = method.to_owned();
            self.events.push(Event { method, params: message["params"].take() });
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Value> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the time is over");
            self.socket.get_ref().set_read_timeout(Some(left))?;
            match self.socket.read()? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(_) => bail!("the browser closed the connection"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
