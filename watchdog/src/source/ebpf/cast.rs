//! The one function of the kernel's own that probes call: kernels number it as they like, and aya does not link such calls.

use std::borrow::Cow;

use watchdog_common::CAST;

/// Gives a type to a bare address, so that the verifier lets it be followed (6.2 on, for programs of every type:
/// `common_kfunc_set` in kernel/bpf/helpers.c).
pub(super) const FUNCTION: &str = "bpf_rdonly_cast";

/// `BPF_JMP | BPF_CALL`, and who is called: a helper, or a function of the kernel's BTF.
const CALL: u8 = 0x85;
const HELPER: u8 = 0;
const KERNEL_FUNCTION: u8 = 2 << 4;

fn call(whom: u8, number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_ne_bytes();
    [CALL, whom, 0, 0, a, b, c, d]
}

/// The object with each call of [`CAST`] made a call of the function with this number.
pub(super) fn linked(object: &[u8], number: Option<u32>) -> Cow<'_, [u8]> {
    let Some(number) = number else { return Cow::Borrowed(object) };
    let mut object = object.to_vec();
    let (place, linked) = (call(HELPER, CAST), call(KERNEL_FUNCTION, number));
    // Whoever parses the object aligns its sections to instructions.
    let instructions = object.as_chunks_mut::<8>().0;
    instructions.iter_mut().filter(|instruction| **instruction == place).for_each(|place| *place = linked);
    Cow::Owned(object)
}

#[cfg(test)]
mod tests {
    use aya_obj::Object;

    use super::super::load::OBJECT;
    use super::*;

    /// The numbers that programs call other functions than their own by, and how; with the programs' names.
    fn calls(object: &[u8]) -> Vec<(String, u8, i32)> {
        let object = Object::parse(object).expect("the object");
        let mut calls = Vec::new();
        for (name, program) in &object.programs {
            let code = &object.functions[&program.function_key()].instructions;
            let called = code.iter().filter(|insn| insn.code == CALL && insn.src_reg() != 1);
            calls.extend(called.map(|insn| (name.clone(), insn.src_reg() << 4, insn.imm)));
        }
        calls.sort();
        calls
    }

    #[test]
    fn one_program_casts_and_its_call_is_linked() {
        let cast = i32::try_from(CAST).expect("a number of a helper");
        let (before, after) = (calls(OBJECT), calls(&linked(OBJECT, Some(77))));
        let expected: Vec<_> = before
            .iter()
            .cloned()
            .map(|call| if call.2 == cast { (call.0, KERNEL_FUNCTION, 77) } else { call })
            .collect();
        assert_eq!(after, expected);
        let casts: Vec<_> = before.iter().filter(|call| call.2 == cast).map(|call| call.0.as_str()).collect();
        assert_eq!(casts, ["open_typed_kprobe"]);
    }

    #[test]
    fn without_the_function_nothing_is_copied() {
        assert!(matches!(linked(OBJECT, None), Cow::Borrowed(_)));
    }
}
