//! Whatever bytes pass the check run without a panic.

use proptest::prelude::*;

use super::builder::{ALL, fix_checksum};
use super::cases::case;
use super::random::Bytes;
use crate::format::{Family, Header, OpCode, SectionRecord, section};
use crate::{Align16, Plan, Session, ops};

/// Arena that a damaged plan may ask for in a test.
const ARENA_LIMIT: usize = 1 << 20;

/// Reads a plan and, where it is accepted, runs it; whether it was.
fn read_and_run(units: &[Align16]) -> bool {
    let Ok(plan) = Plan::from_bytes(bytemuck::cast_slice(units), &ALL) else {
        return false;
    };
    if plan.arena_bytes() > ARENA_LIMIT {
        return true;
    }
    let mut arena = vec![Align16([0x81; 16]); Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).expect("the arena is as large as the plan says");
    session.run();
    session.self_test();
    (0..plan.output_count()).for_each(|i| assert!(session.output(i).is_some()));
    for op in plan.ops() {
        assert!(plan.text(op.name).len() + plan.operator_name(op).len() + plan.name().len() > 0);
    }
    true
}

/// Bytes of the sections whose fields steer the executor; weights and names seldom decide anything.
fn steering(bytes: &[u8]) -> Vec<core::ops::Range<usize>> {
    let header: Header = bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()]);
    let table = &bytes[size_of::<Header>()..][..header.sections as usize * size_of::<SectionRecord>()];
    let records: &[SectionRecord] = bytemuck::cast_slice(table);
    let steer = [section::TENSORS, section::OPS, section::OPERANDS, section::PARAMS, section::IO];
    let sections = records.iter().filter(|r| steer.contains(&r.kind) && r.bytes > 0);
    sections.map(|r| r.offset as usize..(r.offset + r.bytes) as usize).collect()
}

/// Changes one to four bytes, or whole words to numbers that overflow.
fn damage(units: &mut [Align16], random: &mut Bytes) {
    let ranges = steering(bytemuck::cast_slice(units));
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(units);
    for _ in 0..=random.below(4) {
        let range = ranges[random.below(ranges.len() as u64) as usize].clone();
        let range = if random.below(10) == 0 { 0..bytes.len() } else { range };
        let at = range.start + random.below(range.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] = random.next() as u8,
            1 => {
                bytes[at] = bytes[at].wrapping_add([1, 2, 4, 8, 255, 254, 128, 16][random.below(8) as usize])
            }
            2 => bytes[at] = [0, 1, 2, 3, 127, 128, 254, 255][random.below(8) as usize],
            _ => {
                let words = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000, 0xffff];
                let word: u32 = words[random.below(8) as usize];
                let at = at & !3;
                bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// Damages plans of one operator; returns how many of them were accepted.
fn survive(code: OpCode, family: Family, cases: u64, seed: u64) -> u64 {
    let mut random = Bytes::new(seed);
    let mut accepted = 0;
    for _ in 0..cases {
        let valid = case(code, family, &mut random).builder.build();
        for _ in 0..20 {
            let mut units = valid.clone();
            damage(&mut units, &mut random);
            fix_checksum(&mut units);
            accepted += u64::from(read_and_run(&units));
        }
    }
    accepted
}

#[test]
fn accepted_plans_of_every_operator_run() {
    assert_eq!(ops::ALL.iter().map(|entry| entry.code()).collect::<Vec<_>>(), OpCode::ALL);
    let cases = if cfg!(miri) { 2 } else { 2000 };
    for entry in ops::ALL {
        for family in Family::ALL {
            let accepted = survive(entry.code(), family, cases, entry.code() as u64);
            // Else the test would show nothing about running.
            assert!(accepted > cases / 4, "{}: {accepted} accepted", entry.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 400 }))]

    #[test]
    fn accepted_plans_of_any_seed_run(seed in any::<u64>(), which in 0..ops::ALL.len(), family in 0..Family::ALL.len()) {
        survive(ops::ALL[which].code(), Family::ALL[family], 2, seed);
    }
}
