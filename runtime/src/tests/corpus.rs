//! Plans with golden sections for devices: there every kernel of the build tests itself against the formulas.

use super::cases::{Case, case};
use super::random::Bytes;
use crate::format::Family;
use crate::ops;
use crate::plan::CRC32;

/// Writes `OPERATOR-NUMBER.FAMILY.s8` for every operator into the folder `STILL8_CORPUS`:
/// `STILL8_CORPUS=DIR cargo test -p still8 --lib -- --ignored write_corpus`.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let folder = std::env::var("STILL8_CORPUS").expect("STILL8_CORPUS names a folder");
    for family in [Family::Portable, Family::Dsp] {
        let mut random = Bytes::new(8);
        for entry in ops::ALL {
            for number in 0..8 {
                let Case { mut builder, inputs, expected } = case(entry.code(), family, &mut random);
                let crc = CRC32.checksum(bytemuck::cast_slice(&expected));
                builder.golden = Some((inputs.concat(), expected, vec![crc]));
                let path = format!("{folder}/{}-{number}.{}.s8", entry.name(), family.name());
                std::fs::write(path, bytemuck::cast_slice(&builder.build())).expect("the folder is writable");
            }
        }
    }
}
