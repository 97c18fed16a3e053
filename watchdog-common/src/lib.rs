//! What crosses the border between the probes and the agent: records, map values, settings. Nothing else.
#![no_std]
