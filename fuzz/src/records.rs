//! The kernel's ring buffer.

use watchdog::model::EventOperation;
use watchdog::source::Item;
use watchdog::source::ebpf::fuzz::Records;

use crate::engine::Judge;

/// A batch of records, each behind its length in two bytes. What is refused is counted as lost; what is taken goes to
/// the engine.
pub fn ring(bytes: &[u8]) {
    let root = std::env::temp_dir();
    let mut records = Records::new(&root);
    let mut judge = Judge::default();
    let mut lost = 0;
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (record, behind) = behind.split_at(length);
        match records.take(record) {
            Some(Item::Event(event)) => {
                assert!(event.span.start <= event.span.end, "{event:?}");
                assert!(event.lost >= lost, "what was refused is not counted: {event:?}");
                if let EventOperation::Open { place, .. } = &event.operation {
                    assert!(place.name.len() <= 3 * 256, "a name of {} bytes", place.name.len());
                }
                judge.hear(&event);
            }
            Some(Item::Process(facts)) => {
                let process = watchdog::enrich::Process::from_facts(&facts);
                // A byte that is no text or steers a terminal is written as an escape.
                assert!(process.name().len() <= 6 * 16, "{process:?}");
            }
            Some(Item::Anomaly(_) | Item::Gone(_)) => {}
            None => lost += 1,
        }
        rest = behind;
    }
    judge.finish();
}
