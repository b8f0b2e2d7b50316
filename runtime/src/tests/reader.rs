//! Plans damaged, cut short, misplaced or made for something else, and the golden self-test.

use std::sync::OnceLock;

use super::builder::{ALL, PlanBuilder, fix_checksum, run};
use super::cases::case;
use super::random::Bytes;
use crate::error::{ArenaTooSmall, OpFault, PlanError};
use crate::format::*;
use crate::session::SelfTest;
use crate::{Align16, OpEntry, OpTable, Plan, Session, kernels, ops};

/// A plan of two ops: Table after Pad.
fn two_ops() -> PlanBuilder {
    let mut builder = PlanBuilder::new(Family::Portable);
    let a = builder.tensor([1, 1, 2, 1], 0);
    let b = builder.tensor([1, 1, 4, 1], 0);
    let c = builder.tensor([1, 1, 4, 1], 0);
    let table: [i8; 256] = core::array::from_fn(|i| (i as u8 ^ 0x80) as i8 ^ 1);
    let params = TableParams { table: builder.data(&table) };
    builder.op(OpCode::Pad, PadParams { before: [0, 0, 1, 0], value: 8, reserved: [0; 3] }, &[a], &[b]);
    builder.op(OpCode::Table, params, &[b], &[c]);
    builder.io(&[a], &[c]);
    builder
}

fn bytes(units: &[Align16]) -> &[u8] {
    bytemuck::cast_slice(units)
}

fn header(units: &mut [Align16]) -> &mut Header {
    bytemuck::from_bytes_mut(&mut bytemuck::cast_slice_mut::<_, u8>(units)[..size_of::<Header>()])
}

fn error(units: &[Align16], table: &OpTable) -> PlanError {
    Plan::from_bytes(bytes(units), table).expect_err("the plan must be refused")
}

#[test]
fn runs_two_ops() {
    assert_eq!(run(&two_ops().build(), &[vec![2, 5]]), [[9, 3, 4, 9]]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let valid = two_ops().build();
    for at in 0..bytes(&valid).len() {
        for bit in 0..8 {
            let mut units = valid.clone();
            bytemuck::cast_slice_mut::<_, u8>(&mut units)[at] ^= 1 << bit;
            assert!(Plan::from_bytes(bytes(&units), &ALL).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let valid = two_ops().build();
    let whole = bytes(&valid);
    for len in 0..whole.len() {
        let found = Plan::from_bytes(&whole[..len], &ALL).err();
        match found {
            Some(PlanError::NotAPlan) if len < MAGIC.len() => {}
            Some(PlanError::Truncated { need, have }) => assert!(have == len && need > len),
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

#[test]
fn bytes_behind_the_plan_do_not_matter() {
    let mut units = two_ops().build();
    units.push(Align16([0xff; 16]));
    assert!(Plan::from_bytes(bytes(&units), &ALL).is_ok());
}

#[test]
fn misaligned_bytes_are_refused() {
    let units = two_ops().build();
    for at in 1..16 {
        let found = Plan::from_bytes(&bytes(&units)[at..], &ALL).err();
        assert_eq!(found, Some(PlanError::Misaligned { remainder: at }));
    }
}

#[test]
fn another_version_is_refused_before_the_checksum() {
    let mut units = two_ops().build();
    header(&mut units).version = FORMAT_VERSION + 1;
    assert_eq!(error(&units, &ALL), PlanError::Version { plan: FORMAT_VERSION + 1, runtime: FORMAT_VERSION });
}

#[test]
fn unknown_families_are_refused() {
    for number in [6, 255] {
        let mut units = two_ops().build();
        header(&mut units).family = number;
        fix_checksum(&mut units);
        assert_eq!(error(&units, &ALL), PlanError::Family { plan: None, runtime: kernels::FAMILY });
    }
}

#[test]
fn unknown_sections_are_skipped_unless_required() {
    let mut builder = two_ops();
    builder.extra = vec![(77, 0, vec![1, 2, 3])];
    assert!(Plan::from_bytes(bytes(&builder.build()), &ALL).is_ok());
    builder.extra = vec![(77, SECTION_REQUIRED, vec![1, 2, 3])];
    assert_eq!(error(&builder.build(), &ALL), PlanError::UnknownSection { kind: 77 });
}

#[test]
fn doubled_and_missing_sections_are_refused() {
    let mut builder = two_ops();
    builder.extra = vec![(section::DATA, 0, vec![0; 16])];
    assert_eq!(error(&builder.build(), &ALL), PlanError::Section { kind: section::DATA });
    for missing in section::TENSORS..=section::STRINGS {
        let mut units = two_ops().build();
        let records = &mut bytemuck::cast_slice_mut::<_, u8>(&mut units)[size_of::<Header>()..];
        let kind = (missing - 1) as usize * size_of::<SectionRecord>();
        records[kind..kind + 4].copy_from_slice(&section::LINEAGE.to_le_bytes());
        records[kind + 12..kind + 16].fill(0);
        fix_checksum(&mut units);
        assert_eq!(error(&units, &ALL), PlanError::Section { kind: missing });
    }
}

#[test]
fn operators_outside_the_table_are_named() {
    static ONLY_PAD: OpTable = crate::ops![Pad];
    let units = two_ops().build();
    let code = OpCode::Table as u16;
    assert_eq!(error(&units, &ONLY_PAD), PlanError::UnknownOperator { op: 1, code });
    static BOTH: OpTable = crate::ops![Table, Pad];
    assert!(Plan::from_bytes(bytes(&units), &BOTH).is_ok());
}

#[test]
fn the_table_of_an_included_plan_holds_its_operators() {
    let units = two_ops().build();
    assert_eq!(crate::include::op_count(bytes(&units)), 2);
    let codes = crate::include::op_entries::<2>(bytes(&units)).map(|entry| entry.code());
    assert_eq!(codes, [OpCode::Pad, OpCode::Table]);
    assert_eq!(crate::include::arena_bytes(bytes(&units)), 48);
    // What stands behind the plan in its file stays out of the image.
    let plan = bytes(&units);
    let length = crate::include::plan_bytes(plan);
    let file = [&plan[..length], b"a card"].concat();
    assert_eq!(crate::include::plan_bytes(&file), length);
    assert_eq!(crate::include::plan::<64>(&file)[..], plan[..64]);
}

#[test]
fn faults_of_an_op_name_it() {
    let fault = |change: fn(&mut PlanBuilder)| {
        let mut builder = two_ops();
        change(&mut builder);
        error(&builder.build(), &ALL)
    };
    let op = |op, fault| PlanError::Op { op, fault };
    assert_eq!(fault(|b| b.tensors[1].offset = 0), op(0, OpFault::Overlap));
    assert_eq!(fault(|b| b.tensors[1].zero_point = 1), op(0, OpFault::Quantization));
    assert_eq!(fault(|b| b.tensors[1].dtype = DataType::Int16 as u8), op(0, OpFault::DataType));
    assert_eq!(fault(|b| b.ops[1].params += 4), op(1, OpFault::Params));
    assert_eq!(fault(|b| b.ops[1].operands = 9), op(1, OpFault::Operands));
    assert_eq!(fault(|b| b.tensors[2].offset = 0xffff_fff0), PlanError::Tensor { index: 2 });
}

#[test]
fn weights_of_minus_128_are_refused() {
    let mut builder = PlanBuilder::new(Family::Portable);
    let (a, b) = (builder.tensor([1, 1, 1, 2], 0), builder.tensor([1, 1, 1, 1], 0));
    let params = FullyConnectedParams {
        weights: builder.data(&[1i8, -128]),
        channels: builder.data(&[super::cases::record(0, 1 << 30, 1, 0)]),
        activation_min: -128,
        activation_max: 127,
        reserved: 0,
    };
    builder.op(OpCode::FullyConnected, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    assert_eq!(error(&builder.build(), &ALL), PlanError::Op { op: 0, fault: OpFault::Weight });
}

#[test]
fn an_arena_16_bytes_short_is_refused() {
    let units = two_ops().build();
    let plan = Plan::from_bytes(bytes(&units), &ALL).expect("the plan is valid");
    let need = plan.arena_bytes();
    let mut arena = vec![Align16::ZERO; need / 16 - 1];
    assert_eq!(Session::new(&plan, &mut arena).err(), Some(ArenaTooSmall { need, have: need - 16 }));
    arena.push(Align16::ZERO);
    assert!(Session::new(&plan, &mut arena).is_ok());
}

/// Self-test of the two ops with these expectations.
fn self_test(output: Vec<i8>, crcs: [u32; 2]) -> SelfTest {
    let mut builder = two_ops();
    builder.golden = Some((vec![2, 5], output, crcs.to_vec()));
    let units = builder.build();
    let plan = Plan::from_bytes(bytes(&units), &ALL).expect("the plan is valid");
    let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
    Session::new(&plan, &mut arena).expect("the arena is large enough").self_test()
}

#[test]
fn self_test_names_the_first_op_that_differs() {
    let crc = |bytes: [i8; 4]| crate::crc32::crc32(&bytes.map(|b| b as u8));
    let [pad, table] = [crc([8, 2, 5, 8]), crc([9, 3, 4, 9])];
    assert_eq!(self_test(vec![9, 3, 4, 9], [pad, table]), SelfTest::Passed);
    assert_eq!(self_test(vec![9, 3, 4, 9], [pad ^ 1, table]), SelfTest::FailedAt { op: 0 });
    assert_eq!(self_test(vec![9, 3, 4, 9], [pad, table ^ 1]), SelfTest::FailedAt { op: 1 });
    assert_eq!(self_test(vec![9, 3, 4, 8], [pad, table]), SelfTest::OutputDiffers);
    let units = two_ops().build();
    let plan = Plan::from_bytes(bytes(&units), &ALL).expect("the plan is valid");
    let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).expect("the arena is large enough");
    assert_eq!(session.self_test(), SelfTest::Absent);
}

#[test]
fn a_short_golden_input_repeats_since_format_2() {
    let mut builder = two_ops();
    let crcs = [[8, 5, 5, 8], [9, 4, 4, 9]].map(|bytes: [u8; 4]| crate::crc32::crc32(&bytes));
    builder.golden = Some((vec![5], vec![9, 4, 4, 9], crcs.to_vec()));
    let mut units = builder.build();
    let plan = Plan::from_bytes(bytes(&units), &ALL).expect("the plan is valid");
    let golden = plan.golden().expect("the plan has one");
    assert_eq!((golden.stored(), golden.input().collect::<Vec<_>>()), (&[5][..], vec![5, 5]));
    let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).expect("the arena is large enough");
    assert_eq!(session.self_test(), SelfTest::Passed);
    header(&mut units).version = 1;
    fix_checksum(&mut units);
    assert_eq!(error(&units, &ALL), PlanError::Golden);
    for stored in [vec![], vec![5; 3]] {
        builder.golden = Some((stored, vec![9, 4, 4, 9], crcs.to_vec()));
        assert_eq!(error(&builder.build(), &ALL), PlanError::Golden);
    }
}

#[test]
fn a_plan_of_format_1_is_read() {
    let mut units = two_ops().build();
    for (version, accepted) in [(0, false), (1, true)] {
        header(&mut units).version = version;
        fix_checksum(&mut units);
        assert_eq!(Plan::from_bytes(bytes(&units), &ALL).is_ok(), accepted, "{version}");
    }
}

#[test]
fn text_that_is_no_text_reads_as_none() {
    let mut builder = two_ops();
    builder.extra = vec![(section::LINEAGE, 0, vec![0xff; 4])];
    let units = builder.build();
    let plan = Plan::from_bytes(bytes(&units), &ALL).expect("nothing that runs depends on text");
    assert_eq!((plan.lineage(), plan.name()), (Some(""), "name"));
}

#[test]
fn every_operator_has_a_case_that_is_accepted_in_a_table_of_its_own() {
    // An image's table is a constant.
    static LISTS: [OnceLock<Vec<OpEntry>>; OP_CODES] = [const { OnceLock::new() }; OP_CODES];
    for (entry, list) in ops::ALL.iter().zip(&LISTS) {
        let builder = case(entry.code(), Family::Dsp, &mut Bytes::new(1)).builder;
        // Operators on int16 are reached through a Convert.
        let named = |other: &&OpEntry| builder.ops.iter().any(|op| op.op == other.code() as u16);
        let table = OpTable::new(list.get_or_init(|| ops::ALL.iter().filter(named).copied().collect()));
        let units = builder.build();
        assert!(Plan::from_bytes(bytes(&units), &table).is_ok(), "{}", entry.name());
    }
}
