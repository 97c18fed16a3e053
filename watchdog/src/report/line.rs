//! A finding as one aligned line for a person.

use super::finding::{Finding, Kind};

/// `12:00:01.250  TORN READ   youki       abc           runc (pid 812) read 0 of …`.
#[must_use]
pub fn line(finding: &Finding) -> String {
    let mark = match finding.kind {
        Kind::NonatomicWrite => "IN PLACE",
        Kind::TornRead => "TORN READ",
        Kind::OverlappingRead => "overlapping",
        Kind::ExposedReader => "exposed",
        Kind::DamagedStateFile => "DAMAGED",
        Kind::DamagedRead => "BROKEN READ",
        Kind::ReaderExit => "exit",
    };
    // The time of day, to the millisecond; the date stands in the JSON.
    let time = finding.time.get(11..23).unwrap_or(&finding.time);
    let container: String = finding.container_id.chars().take(12).collect();
    format!("{time}  {mark:<11}  {:<10}  {container:<12}  {}", finding.runtime, finding.message)
}
