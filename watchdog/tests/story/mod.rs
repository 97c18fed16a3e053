//! Reads a story, tells it to an engine, and writes it down again with what the engine said.

mod parse;
mod say;

use std::collections::HashMap;

use watchdog::detect::{Engine, Limits};
use watchdog::model::{BootNanos, FileEvent, Output};

/// One story.
pub(crate) struct Story {
    pub(crate) title: String,
    limits: Limits,
    lines: Vec<Line>,
}

struct Line {
    text: String,
    step: Option<Step>,
}

enum Step {
    Event(Box<FileEvent>),
    Advance(BootNanos),
}

/// Which name each actor and description has in the story.
#[derive(Default)]
struct Cast {
    actors: Vec<String>,
    descriptions: HashMap<String, watchdog::model::OpenId>,
    addresses: Vec<String>,
    lost: u64,
}

impl Story {
    pub(crate) fn parse(text: &str) -> Self {
        let mut story = Self { title: String::new(), limits: Limits::default(), lines: Vec::new() };
        let mut cast = Cast::default();
        for line in text.lines() {
            if line.trim_start().starts_with("=> ") {
                continue;
            }
            if let Some(title) = line.strip_prefix("## ") {
                story.title = title.to_owned();
            }
            let step = match parse::line(line, &mut cast, &mut story.limits) {
                Ok(step) => step,
                Err(problem) => panic!("{problem} in the line: {line}"),
            };
            story.lines.push(Line { text: line.to_owned(), step });
        }
        story
    }

    /// The story with what the engine says.
    pub(crate) fn tell(&self) -> String {
        let mut engine = Engine::new(self.limits.clone());
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(&line.text);
            text.push('\n');
            for output in line.step.iter().flat_map(|step| step.take(&mut engine)) {
                text.push_str(&format!("    => {}\n", say::output(&output)));
            }
        }
        text
    }

    /// Only what the engine says. With `often`, it is told the time between events, too.
    pub(crate) fn tell_all(&self, often: bool) -> Vec<String> {
        let mut engine = Engine::new(self.limits.clone());
        let mut said = Vec::new();
        for step in self.lines.iter().filter_map(|line| line.step.as_ref()) {
            if often {
                let (mut out, end) = (Vec::new(), step.at());
                while let Some(due) = engine.next_deadline().filter(|due| *due < end) {
                    engine.advance(due, &mut out);
                    assert!(engine.next_deadline() > Some(due) || engine.next_deadline().is_none());
                }
                said.extend(out.iter().map(say::output));
            }
            said.extend(step.take(&mut engine).iter().map(say::output));
        }
        said
    }
}

impl Step {
    fn at(&self) -> BootNanos {
        match self {
            Self::Event(event) => event.at(),
            Self::Advance(at) => *at,
        }
    }

    fn take(&self, engine: &mut Engine) -> Vec<Output> {
        let mut out = Vec::new();
        match self {
            Self::Event(event) => engine.observe(event, &mut out),
            Self::Advance(at) => engine.advance(*at, &mut out),
        }
        out
    }
}
