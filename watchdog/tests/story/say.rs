//! From what the engine said to words.

use watchdog::model::{
    Actor, Anomaly, BootNanos, DamagedReadReport, ExitStatus, Follows, OperationRecord, Output, Place,
    ReadCall, ReadReport, ReaderExit, SessionReport, Span,
};

pub(super) fn output(output: &Output) -> String {
    match output {
        Output::Session(report) => session(report),
        Output::Read(report) => read(report),
        Output::DamagedRead(report) => damaged_read(report),
        Output::ReaderExit(exit) => reader_exit(exit),
        Output::Check(request) => format!("check {} ino={}", path(&request.place), request.inode.ino),
        Output::Anomaly(Anomaly { kind, at, place }) => {
            let place = place.as_ref().map_or(String::new(), |place| format!(", {}", path(place)));
            format!("anomaly {}{place}, at {}", kind.as_str(), time(*at))
        }
    }
}

fn session(report: &SessionReport) -> String {
    let mut text = format!("session {} {}", path(&report.place), report.outcome.as_str());
    if let Some(operation) = report.operation {
        text.push_str(&format!(" {}", operation.as_str()));
    }
    match report.durable {
        Some(true) => text.push_str(" durable"),
        Some(false) => text.push_str(" not-durable"),
        None => {}
    }
    text.push_str(&format!(" by {} {}", actor(&report.writer), span(report.window)));
    text.push_str(&format!(", size {} to {}", maybe(report.size_before), maybe(report.size_after)));
    text.push_str(&operations(&report.operations, report.operation_count));
    if report.writer_died {
        text.push_str(", writer died");
    }
    if report.writer_exited {
        text.push_str(", writer exited");
    }
    text
}

fn read(report: &ReadReport) -> String {
    let mut text = format!("read {} {}", path(&report.place), report.verdict.as_str());
    text.push_str(&format!(
        " by {}, writer {} {}, size {} to {}",
        actor(&report.reader),
        actor(&report.writer),
        span(report.window),
        maybe(report.size_before),
        maybe(report.final_size),
    ));
    text.push_str(&report.read.as_ref().map_or(String::new(), call));
    text.push_str(&format!(", {} calls {} bytes", report.read_calls, report.bytes));
    text
}

fn call(call: &ReadCall) -> String {
    let ReadCall { span: when, offset, requested, returned, size_at_read, merged } = call;
    let (when, offset, size) = (span(*when), maybe(*offset), maybe(*size_at_read));
    let merged = if *merged > 1 { format!(" ({merged} merged)") } else { String::new() };
    format!(", read {when} at {offset} wanted {requested} got {returned} of {size}{merged}")
}

fn damaged_read(report: &DamagedReadReport) -> String {
    let (place, damage, reader) = (path(&report.place), report.damage.as_str(), actor(&report.reader));
    let (since, by) = (time(report.since), actor(&report.by));
    let call = report.read.as_ref().map_or(String::new(), call);
    let (calls, bytes, size) = (report.read_calls, report.bytes, report.size);
    format!(
        "damaged read {place} {damage} by {reader}, left so by {by} since {since}, size {size}{call}, {calls} calls {bytes} bytes"
    )
}

fn reader_exit(exit: &ReaderExit) -> String {
    let status = match exit.status {
        Some(ExitStatus::Code(code)) => format!("code {code}"),
        Some(ExitStatus::Signal(signal)) => format!("signal {signal}"),
        None => "no status".to_owned(),
    };
    let (place, reader, result) = (path(&exit.place), actor(&exit.reader), exit.result.as_str());
    let follows = match exit.follows {
        Follows::Torn => "",
        Follows::Damaged => ", after a damaged read",
    };
    format!("exit {place} {result} of {reader}, {status}, at {}{follows}", time(exit.at))
}

fn operations(records: &[OperationRecord], count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = String::from(", operations:");
    for record in records {
        text.push_str(&format!(" {} {}", record.operation.as_str(), span(record.span)));
        if let (Some(offset), Some(length)) = (record.offset, record.length) {
            text.push_str(&format!(" {offset}+{length}"));
        }
        text.push(';');
    }
    text.pop();
    if count > records.len() as u64 {
        text.push_str(&format!("; {count} in all"));
    }
    text
}

fn actor(actor: &Actor) -> String {
    if actor.pid.0 == 0 { "someone".to_owned() } else { actor.comm.to_string() }
}

fn path(place: &Place) -> String {
    format!("{}/{}", place.container, place.name)
}

fn span(span: Span) -> String {
    format!("{}-{}", time(span.start), time(span.end))
}

fn time(at: BootNanos) -> String {
    if at.0.is_multiple_of(1000) { format!("{}", at.0 / 1000) } else { format!("{}ns", at.0) }
}

fn maybe(value: Option<u64>) -> String {
    value.map_or("?".to_owned(), |value| value.to_string())
}
