//! What verifiers ask of the object's shape: without a machine that runs their kernel, a program that they would refuse
//! is found where it is written.
//!
//! Verifiers (`check_cfg` in kernel/bpf/verifier.c, 5.3 to 6.1) let a loop be closed by a jump alone. A compiler
//! may lay a loop's body out before its head, so that the body falls through into it: the same loop, but refused.

use std::collections::HashSet;

use aya_obj::Object;
use aya_obj::generated::{
    BPF_CALL, BPF_EXIT, BPF_IMM, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC,
    bpf_insn,
};

use super::load::OBJECT;

/// What is known of an instruction on the walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// The edges out of an instruction, and whether each may close a loop.
fn edges(at: usize, insn: bpf_insn) -> Vec<(usize, bool)> {
    let class = u32::from(insn.code) & 0x07;
    let operation = u32::from(insn.code) & 0xf0;
    let to = |distance: i64| usize::try_from(at as i64 + 1 + distance).expect("a target inside the program");
    let next = (at + 1, false);
    if class == BPF_LD && insn.code & 0xe0 == BPF_IMM as u8 && u32::from(insn.src_reg()) == BPF_PSEUDO_FUNC {
        return vec![next, (to(insn.imm.into()), false)];
    }
    if class != BPF_JMP && class != BPF_JMP32 {
        return vec![next];
    }
    match operation {
        BPF_EXIT => vec![],
        BPF_CALL if u32::from(insn.src_reg()) == BPF_PSEUDO_CALL => vec![next, (to(insn.imm.into()), false)],
        BPF_CALL => vec![next],
        BPF_JA => vec![(to(insn.off.into()), true)],
        _ => vec![(at + 1, true), (to(insn.off.into()), true)],
    }
}

/// The first edge that closes a loop and may not.
fn refused(code: &[bpf_insn]) -> Option<(usize, usize)> {
    let mut states = vec![State::New; code.len()];
    let mut walk = vec![(0, edges(0, code[0]).into_iter())];
    states[0] = State::Open;
    while let Some((at, rest)) = walk.last_mut() {
        let Some((to, may_close)) = rest.next() else {
            states[*at] = State::Done;
            walk.pop();
            continue;
        };
        match states[to] {
            State::New => {
                states[to] = State::Open;
                walk.push((to, edges(to, code[to]).into_iter()));
            }
            State::Open if !may_close => return Some((*at, to)),
            State::Open | State::Done => {}
        }
    }
    None
}

/// The programs with the functions that they call appended, as they are loaded.
fn programs() -> Vec<(String, Vec<bpf_insn>)> {
    let mut object = Object::parse(OBJECT).expect("the object");
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_calls(&sections).expect("the calls");
    let mut programs: Vec<_> = object
        .programs
        .iter()
        .map(|(name, program)| (name.clone(), object.functions[&program.function_key()].instructions.clone()))
        .collect();
    programs.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(programs.len() > 20, "{} programs", programs.len());
    programs
}

fn calls(code: &[bpf_insn], at: usize) -> Option<usize> {
    let is_call =
        code[at].code == (BPF_JMP | BPF_CALL) as u8 && u32::from(code[at].src_reg()) == BPF_PSEUDO_CALL;
    is_call
        .then(|| usize::try_from(at as i64 + 1 + i64::from(code[at].imm)).expect("a function of the program"))
}

/// The deepest that the function at `entry` and those that it calls take of the stack, each rounded up as the kernel
/// does (`check_max_stack_depth`, 5.10 to 6.12).
fn stack(code: &[bpf_insn], entry: usize, entries: &[usize]) -> i64 {
    let end = entries.iter().copied().find(|other| *other > entry).unwrap_or(code.len());
    let mut own = 1;
    let mut below = 0;
    for at in entry..end {
        let insn = code[at];
        let is_frame_copy = |insn: bpf_insn| insn.code == 0xbf && insn.src_reg() == 10;
        // Loads and stores below the frame pointer, and what is added to a copy of it.
        let class = u32::from(insn.code) & 0x07;
        if (class == 1 && insn.src_reg() == 10) || ((class == 2 || class == 3) && insn.dst_reg() == 10) {
            own = own.max(-i64::from(insn.off));
        }
        let copied = at > entry && is_frame_copy(code[at - 1]) && code[at - 1].dst_reg() == insn.dst_reg();
        if insn.code == 0x07 && copied {
            own = own.max(-i64::from(insn.imm));
        }
        if let Some(callee) = calls(code, at) {
            below = below.max(stack(code, callee, entries));
        }
    }
    (own + 31) / 32 * 32 + below
}

#[test]
fn verifiers_up_to_6_1_find_no_loop_closed_without_a_jump() {
    let problems: Vec<_> = programs()
        .iter()
        .filter_map(|(name, code)| {
            refused(code).map(|(from, to)| format!("{name}: from instruction {from} to {to}"))
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_chain_of_calls_needs_more_than_the_kernels_stack() {
    const MAX_BPF_STACK: i64 = 512;
    for (name, code) in programs() {
        let mut entries: Vec<usize> = (0..code.len()).filter_map(|at| calls(&code, at)).chain([0]).collect();
        entries.sort_unstable();
        entries.dedup();
        let depth = stack(&code, 0, &entries);
        assert!(depth <= MAX_BPF_STACK, "{name} needs {depth} bytes");
    }
}
