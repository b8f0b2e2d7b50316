//! The code of a linked image: instructions, each with its function.

use std::path::Path;

use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

#[path = "instructions.rs"]
pub mod instructions;

use instructions::{Word, a64, thumb};

/// An instruction in its image.
pub struct Place {
    pub address: u64,
    pub word: Word,
    /// Mangled name of its function; empty where no symbol covers it.
    pub function: String,
}

/// The instructions and function names of an ELF file for Arm.
pub struct Code {
    pub instructions: Vec<Place>,
    pub functions: Vec<String>,
    /// Whether it is A64 code; else T32.
    pub is_a64: bool,
}

impl Code {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let is_a64 = file.architecture() == Architecture::Aarch64;
        // Bit 0 of a T32 function's address says that it is one.
        let even = |address: u64| if is_a64 { address } else { address & !1 };
        let symbols = || file.symbols().filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol)));
        let mut functions: Vec<(u64, u64, String)> = symbols()
            .filter(|(_, symbol)| symbol.kind() == SymbolKind::Text)
            .map(|(name, symbol)| (even(symbol.address()), symbol.size(), name))
            .collect();
        functions.sort();
        // Mapping symbols tell code from constants among it (ELF for the Arm architecture, 5.5.5).
        let mut marks: Vec<(u64, bool)> = symbols()
            .filter_map(|(name, symbol)| match name.as_bytes() {
                [b'$', b't' | b'x'] | [b'$', b't' | b'x', b'.', ..] => Some((symbol.address(), true)),
                [b'$', b'd'] | [b'$', b'd', b'.', ..] => Some((symbol.address(), false)),
                _ => None,
            })
            .collect();
        marks.sort();
        let mut instructions = Vec::new();
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let (start, data) = (section.address(), section.data().unwrap());
            let end = start + data.len() as u64;
            let inside: Vec<_> = marks.iter().filter(|(address, _)| (start..end).contains(address)).collect();
            assert!(!inside.is_empty() || data.is_empty(), "{}: no mapping symbols", path.display());
            for (i, &&(from, is_code)) in inside.iter().enumerate() {
                let to = inside.get(i + 1).map_or(end, |next| next.0);
                let code = &data[(from - start) as usize..(to - start) as usize];
                if is_code {
                    let words: Vec<_> = if is_a64 { a64(code).collect() } else { thumb(code).collect() };
                    instructions.extend(words.into_iter().map(|(at, word)| {
                        let address = from + at as u64;
                        Place { address, word, function: function_at(&functions, address) }
                    }));
                }
            }
        }
        let functions = functions.into_iter().map(|(_, _, name)| name).collect();
        Self { instructions, functions, is_a64 }
    }

    /// Number of instructions that `is` holds of.
    pub fn count(&self, is: fn(Word) -> bool) -> usize {
        self.instructions.iter().filter(|place| is(place.word)).count()
    }
}

fn function_at(functions: &[(u64, u64, String)], address: u64) -> String {
    let after = functions.partition_point(|(start, ..)| *start <= address);
    let found = functions[..after].iter().rev().take(8).find(|(start, size, _)| address < start + size);
    found.map_or_else(String::new, |(_, _, name)| name.clone())
}

/// Whether this is a function of the compiler's library that computes in floating point without such instructions
/// (Run-time ABI for the Arm architecture, 4.1.2, and GCC's names).
pub fn is_soft_float(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("__aeabi_") {
        let conversions = ["i2f", "i2d", "ui2f", "ui2d", "l2f", "l2d", "ul2f", "ul2d", "h2f", "h2d"];
        let operand = rest.strip_prefix('c').unwrap_or(rest);
        let operations = ["add", "sub", "rsub", "mul", "div", "neg", "cmp", "rcmp", "2"];
        let of = |letter| {
            operand
                .strip_prefix(letter)
                .is_some_and(|rest| operations.iter().any(|word| rest.starts_with(word)))
        };
        return conversions.iter().any(|word| rest.starts_with(word)) || of('f') || of('d');
    }
    let Some(rest) = name.strip_prefix("__") else { return false };
    let converts = ["float", "fix", "extend", "trunc"].iter().any(|word| rest.starts_with(word));
    let modes = ["hf2", "sf2", "df2", "tf2", "hf3", "sf3", "df3", "tf3"];
    converts || modes.iter().any(|mode| rest.ends_with(mode))
}
