//! The one loop that joins everything.
//!
//! source -> engine -> enrich -> metrics, line on stdout, recent store. No step calls back.

mod attach;
mod canary;
mod conclude;
mod contents;
mod descriptions;
mod elsewhere;
mod follow;
mod links;
mod own;
mod pace;
mod pods;
mod reload;
mod start;
mod steady;
mod stop;
mod survey;
#[cfg(test)]
mod tests;
mod unpublished;
mod work;

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::FindingsFormat;
use crate::clock::{WallClock, boot_now};
use crate::config::Config;
use crate::detect::{Engine, Limits};
use crate::enrich::Processes;
use crate::health::{Life, Readiness, readiness};
use crate::http::{ProbeView, ProofView, Shared};
use crate::memory;
use crate::model::{Actor, BootNanos, EventOperation, FileEvent, OpenId, Output, Span};
use crate::profile::Roots;
use crate::report::{Outlet, Reporter};
use crate::source::{Item, LossReason, Source, SourceError, blind_spots};
use crate::workers::{Ticket, Workers};
use canary::{Canary, Vitality};
use contents::Contents;
use descriptions::Descriptions;
use elsewhere::Elsewhere;
use own::Own;
use pace::Pace;
use pods::Pods;
use reload::Reload;
use survey::Survey;
use unpublished::Unpublished;
use work::{Answer, Job};

pub use attach::{Refusal, Trial, try_out};
pub use follow::{Follower, SessionId, SharedFollower, Step};
pub use start::{follow, start};

/// The agent, with one source.
pub struct Agent<S> {
    source: S,
    engine: Engine,
    descriptions: Descriptions,
    /// When the source's next look at what it keeps in the kernel is due.
    reconcile_at: Option<BootNanos>,
    own: Own,
    canary: Canary,
    processes: Processes,
    pods: Pods,
    roots: Roots,
    survey: Survey,
    elsewhere: Elsewhere,
    contents: Contents,
    reporter: Reporter,
    /// In force now.
    config: Config,
    findings: FindingsFormat,
    outlet: Outlet,
    shared: Arc<Shared>,
    /// Do what may have to wait for a foreign file.
    workers: Workers<Answer>,
    /// What they do.
    jobs: HashMap<Ticket, Job>,
    /// Findings that wait to learn whose container they are about.
    unpublished: Vec<Unpublished>,
    /// Nothing is waited for any more.
    is_ending: bool,
    items: Vec<Item>,
    outputs: Vec<Output>,
    /// The loss total of the last event.
    lost: u64,
    /// The source has told all that was before this.
    told: BootNanos,
    pace: Pace,
    memory_given_back: BootNanos,
    /// When it began, and the wall clock then.
    began: (BootNanos, WallClock),
    follower: Option<SharedFollower>,
}

impl<S: Source> Agent<S> {
    /// How often free memory is given back to the kernel.
    const MEMORY_PERIOD: u64 = millis(5_000);
    /// Beyond every deadline of the engine.
    const FAR: u64 = millis(120_000);

    /// An agent that has not started to look.
    #[must_use]
    pub fn new(config: &Config, source: S, shared: Arc<Shared>, outlet: Outlet) -> Self {
        let host = config.host();
        let (started, wall) = (boot_now(), WallClock::read());
        Self {
            engine: Engine::new(Limits::default()),
            descriptions: Descriptions::default(),
            reconcile_at: Some(started),
            own: Own::find(&host),
            canary: Canary::new(config, source.proofs()),
            processes: Processes::new(host.clone(), config.arguments),
            pods: Pods::default(),
            roots: Roots::new(host.clone(), config.roots.clone()),
            survey: Survey::default(),
            elsewhere: Elsewhere::start(host.clone()),
            contents: Contents::default(),
            reporter: Reporter::new(source.kind(), wall, started),
            config: config.clone(),
            findings: config.findings,
            outlet,
            shared,
            workers: Workers::default(),
            jobs: HashMap::new(),
            unpublished: Vec::new(),
            is_ending: false,
            items: Vec::new(),
            outputs: Vec::new(),
            lost: 0,
            told: started,
            pace: Pace::of(source.kind()),
            memory_given_back: started,
            began: (started, wall),
            follower: None,
            source,
        }
    }

    /// Runs until `stop` is there, then hands out what is left.
    ///
    /// # Errors
    /// The stream of events broke, or the source is mute.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), SourceError> {
        self.run_reloading(stop, &mut Reload::never()).await
    }

    /// The same, and takes over another configuration when there is one.
    async fn run_reloading(
        mut self,
        stop: impl Future<Output = ()>,
        reload: &mut Reload,
    ) -> Result<(), SourceError> {
        let mut stop = std::pin::pin!(stop);
        self.look_first().await;
        self.house_canary();
        self.show_status();
        memory::let_go_of_the_start();
        loop {
            let (wake, asked) = (self.next_wake(), boot_now());
            tokio::select! {
                biased;
                () = &mut stop => break,
                result = self.source.read(&mut self.items) => if let Err(error) = result {
                    return Err(self.give_up(error));
                },
                (ticket, answer) = self.workers.next() => self.take_answer(ticket, answer),
                found = self.elsewhere.next() => self.take_elsewhere(found),
                loaded = reload.next() => self.reconfigure(loaded, reload),
                // The source was asked first and had nothing more.
                () = tokio::time::sleep(wake) => self.say_seen(asked),
            }
            let found = self.items.len();
            self.absorb();
            self.tick();
            if *self.canary.vitality() == Vitality::Mute {
                let source_kind = self.source.kind();
                return Err(self.give_up(SourceError::Mute { source_kind }));
            }
            match self.pace.turn(found, boot_now()) {
                Some(rest) => tokio::time::sleep(rest).await,
                // A busy source must not keep the pages from being served.
                None => tokio::task::yield_now().await,
            }
        }
        self.finish().await
    }

    /// Takes what the kernel still holds, and waits for the last findings to be written.
    async fn finish(mut self) -> Result<(), SourceError> {
        let brief = Duration::from_millis(20);
        // The source may stay busy for ever; what is read in a few rounds is what happened before the stop.
        for _ in 0..16 {
            let read = tokio::time::timeout(brief, self.source.read(&mut self.items)).await;
            self.absorb();
            match read {
                Ok(result) => result?,
                Err(_) => break,
            }
        }
        self.pass_time(boot_now());
        while self.owes_findings() {
            let (ticket, answer) = self.workers.next().await;
            self.take_answer(ticket, answer);
        }
        self.feed_contents(boot_now().plus(Self::FAR));
        self.conclude();
        self.end_waiting();
        self.follow(|| Step::End {});
        self.outlet.finish();
        Ok(())
    }

    /// The source shows nothing any more: what is under way has no end that could be seen.
    fn give_up(mut self, error: SourceError) -> SourceError {
        self.absorb();
        self.is_ending = true;
        let (at, lost) = (boot_now(), self.lost + 1);
        let span = Span::new(at, at);
        let unseen = FileEvent { span, actor: Actor::default(), lost, operation: EventOperation::Heartbeat };
        self.tell(&unseen);
        self.pass_time(at.plus(Self::FAR));
        self.end_waiting();
        self.follow(|| Step::End {});
        self.shared.metrics.source_ended(self.source.kind());
        self.shared.metrics.readiness(Readiness::NotReady);
        let mut status = self.shared.status();
        (status.readiness, status.source) = (Readiness::NotReady, None);
        status.probes.clear();
        drop(status);
        self.outlet.finish();
        error
    }

    /// Everything that was read goes to the engine, in its order.
    fn absorb(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            match item {
                Item::Process(facts) => {
                    self.follow(|| Step::Facts(Cow::Borrowed(&facts)));
                    self.processes.learn(&facts);
                }
                Item::Event(event) => self.observe(&event),
                Item::Gone(id) => self.observe_gone(id),
                Item::Anomaly(anomaly) => {
                    self.follow(|| Step::Anomaly(Cow::Borrowed(&anomaly)));
                    self.outputs.push(Output::Anomaly(anomaly));
                }
            }
        }
        self.items = items;
        self.conclude();
    }

    fn observe(&mut self, event: &FileEvent) {
        tracing::trace!(?event);
        self.say_seen(event.span.start);
        if event.lost > self.lost {
            self.lost = event.lost;
            self.descriptions.suspect_all(event.at());
            self.survey.look_again(boot_now());
        }
        if self.canary.takes(event) || self.own.is_ours(event) {
            return;
        }
        if let EventOperation::Open { .. } = event.operation
            && event.actor.is_known()
            && let Some(process) = self.processes.witness(&event.actor, event.at())
        {
            self.follow(|| Step::Process { seen: event.at(), process: Cow::Borrowed(&process) });
            self.processes.remember(process, event.at());
            if self.processes.lacks_arguments(event.actor.pid, event.at()) {
                self.read_arguments(event.actor.pid, event.at());
            }
        }
        if let EventOperation::Open { place, .. } = &event.operation {
            self.look_for_owner(place);
        }
        if self.source.has_descriptions() {
            self.descriptions.follow(event);
        }
        self.shared.metrics.event(self.source.kind(), &event.operation);
        self.tell(event);
    }

    /// A description is gone whose release was lost: it was released after it was last heard of.
    fn observe_gone(&mut self, id: OpenId) {
        if let Some(last) = self.descriptions.last_heard(id) {
            let span = Span::new(last, boot_now());
            let operation = EventOperation::Release { id };
            self.observe(&FileEvent { span, actor: Actor::UNKNOWN, lost: self.lost, operation });
        }
    }

    /// The engine hears of an event.
    fn tell(&mut self, event: &FileEvent) {
        self.follow_event(event);
        self.engine.observe(event, &mut self.outputs);
    }

    /// The engine hears of the time.
    fn pass_time(&mut self, now: BootNanos) {
        self.follow(|| Step::Advance(now));
        self.engine.advance(now, &mut self.outputs);
        self.conclude();
    }

    /// What is due by the clock.
    fn tick(&mut self) {
        let now = boot_now();
        self.shared.turned(now);
        // Behind what the source has told, events may wait for seconds where the agent had no processor.
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= self.told) {
            self.pass_time(self.told);
        }
        if !self.unpublished.is_empty() || !self.outputs.is_empty() {
            self.publish_what_waited();
        }
        let due = self.descriptions.due(now);
        if !due.is_empty()
            && let Err(error) = self.source.poll_released(&due)
        {
            tracing::debug!(%error, "cannot ask for released descriptions");
        }
        if self.reconcile_at.is_some_and(|next| next <= now) {
            self.reconcile_at = self.source.reconcile(now);
        }
        if self.canary.next().is_some_and(|next| next <= now)
            && let Some(result) = self.canary.tick(now, self.source.losses().total())
        {
            self.shared.metrics.canary(self.source.kind(), result);
            self.show_status();
        }
        if self.survey.are_roots_due(now) {
            self.find_roots();
        }
        self.look_at_fresh();
        self.read_settled(now);
        if self.survey.is_due(now) {
            self.shared.metrics.dropped(self.outlet.take_dropped());
            self.look_around();
            let wall = WallClock::read();
            self.follow(|| Step::Clock { at: now, boot_unix_ns: wall.unix_nanos(BootNanos(0)) });
            self.reporter.set_wall(wall);
            self.processes.expire(now);
            self.pods.expire(now);
            if now.since(self.memory_given_back) > Self::MEMORY_PERIOD {
                self.memory_given_back = now;
                self.survey.shrink();
                self.items.shrink_to_fit();
                self.outputs.shrink_to_fit();
                memory::give_back();
            }
            self.show_status();
        }
    }

    fn next_wake(&self) -> Duration {
        let now = boot_now();
        let survey = Some(self.survey.next());
        let publication = self.next_publication();
        let deadlines = [
            self.engine.next_deadline(),
            self.descriptions.next_due(),
            self.reconcile_at,
            self.canary.next(),
            survey,
            publication,
            self.contents.next(),
        ];
        let next = deadlines.into_iter().flatten().min().unwrap_or(now);
        Duration::from_nanos(next.since(now))
    }

    /// Gives the canary its root.
    fn house_canary(&mut self) {
        if let Some(root) = self.canary.root()
            && let Err(error) = self.source.watch(&root)
        {
            self.canary.give_up(error.to_string());
        }
    }

    /// Tells pages and metrics how the source is.
    fn show_status(&self) {
        let (kind, probes, losses) = (self.source.kind(), self.source.probes(), self.source.losses());
        self.shared.metrics.source(kind, &probes);
        self.shared.metrics.losses(kind, &losses);
        self.shared.metrics.work(&self.workers.counts());
        let mut status = self.shared.status();
        let (life, proof) = view(self.canary.vitality());
        let life = if self.elsewhere.is_searching(boot_now()) { Life::Unproved } else { life };
        let before = std::mem::replace(&mut status.readiness, readiness(life, &probes));
        if before != status.readiness {
            tracing::info!(
                before = before.as_str(),
                now = status.readiness.as_str(),
                "readiness has changed"
            );
        }
        self.shared.metrics.readiness(status.readiness);
        status.proof_of_life = proof;
        status.source = Some(kind.as_str());
        status.blind_spots = blind_spots(kind);
        status.roots = self.root_views();
        status.losses =
            LossReason::ALL.into_iter().map(|reason| (reason.as_str(), losses.get(reason))).collect();
        let view = |probe: crate::source::ProbeStatus| ProbeView {
            probe: probe.probe,
            mechanism: probe.mechanism,
            attached: probe.attached,
            reason: probe.reason,
        };
        status.probes = probes.into_iter().map(view).collect();
    }
}

fn view(vitality: &Vitality) -> (Life, ProofView) {
    let say = |verdict| ProofView { verdict, ..ProofView::default() };
    match vitality {
        Vitality::Unproved => (Life::Unproved, say("unproved")),
        Vitality::Alive => (Life::Proved, say("alive")),
        Vitality::Partial(missing) => {
            let missing = missing.iter().map(|proof| proof.as_str()).collect();
            (Life::Partial, ProofView { missing, ..say("partial") })
        }
        Vitality::Mute => (Life::Unproved, say("mute")),
        Vitality::Untested(reason) => {
            (Life::Proved, ProofView { reason: Some(reason.clone()), ..say("untested") })
        }
    }
}

/// A nanosecond count from milliseconds.
const fn millis(count: u64) -> u64 {
    count * 1_000_000
}
