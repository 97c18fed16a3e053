//! What recordings and findings hold of processes' arguments.

use super::super::Scribe;
use super::*;

/// The steps with a secret in the writer's arguments, which the kernel side saw, and in the reader's, which /proc gave.
fn steps_with_secrets() -> Vec<Step<'static>> {
    let mut steps = steps();
    for step in &mut steps {
        match step {
            Step::Facts(facts) => {
                facts.to_mut().args = b"/bin/youki\0--token\0hunter2\0pause\0".to_vec();
                facts.to_mut().args_cut = false;
            }
            Step::Process { process, .. } => {
                process.to_mut().args =
                    ["runc", "--password=hunter2", "TOKEN=hunter2", "exec"].map(str::to_owned).to_vec();
            }
            _ => {}
        }
    }
    steps
}

/// A recording as `record --arguments` writes it.
fn recorded(arguments: Arguments) -> Vec<u8> {
    let begin = header().begin();
    let mut scribe = Scribe::new(String::new(), arguments);
    let steps = steps_with_secrets();
    let lines = std::iter::once(&begin).chain(&steps).filter_map(|step| scribe.line(step).unwrap());
    lines.collect::<Vec<_>>().concat()
}

/// The arguments of the torn read's writer and reader, and all findings as JSON.
fn replayed(recording: &[u8], arguments: Arguments) -> ([Vec<String>; 2], String) {
    let mut findings = Vec::new();
    let mut publish = |finding: &Finding| {
        findings.push(finding.clone());
        Ok(())
    };
    judge(Cursor::new(recording), arguments, &mut publish).unwrap().unwrap();
    let torn = findings.iter().find(|finding| finding.kind.as_str() == "torn_read").unwrap();
    let [writer, reader] = [&torn.writer, &torn.reader].map(|process| process.clone().unwrap());
    assert_eq!((writer.comm.as_str(), reader.comm.as_str()), ("youki", "runc"));
    ([writer.args, reader.args], serde_json::to_string(&findings).unwrap())
}

#[test]
fn secrets_reach_neither_recordings_nor_findings() {
    let full = recorded(Arguments::Full);
    assert!(String::from_utf8_lossy(&full).contains("hunter2"));
    let redacted = recorded(Arguments::Redacted);
    assert!(!String::from_utf8_lossy(&redacted).contains("hunter2"));
    let expected = [
        ["/bin/youki", "--token", "***", "pause"].map(str::to_owned).to_vec(),
        ["runc", "--password=***", "TOKEN=***", "exec"].map(str::to_owned).to_vec(),
    ];
    // A recording that holds secrets shows none either; one that holds none shows the same whatever is asked for.
    for (recording, arguments) in
        [(&full, Arguments::Redacted), (&redacted, Arguments::Redacted), (&redacted, Arguments::Full)]
    {
        let (args, json) = replayed(recording, arguments);
        assert_eq!(args, expected, "{arguments:?}");
        assert!(!json.contains("hunter2"), "{json}");
    }
    assert_eq!(replayed(&full, Arguments::Full).0[1][1], "--password=hunter2");
}

#[test]
fn without_arguments_names_are_the_same() {
    let none = recorded(Arguments::None);
    assert!(!String::from_utf8_lossy(&none).contains("pause"));
    for (recording, arguments) in [(none, Arguments::Full), (recorded(Arguments::Full), Arguments::None)] {
        assert_eq!(replayed(&recording, arguments).0, [Vec::<String>::new(), Vec::new()]);
    }
}
