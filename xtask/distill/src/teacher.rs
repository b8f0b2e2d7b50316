//! What the teacher says: computed once for each sample and view, on all cores, and kept by content hash.

use std::path::{Path, PathBuf};

use half::f16;
use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;
use still8_validation::oracle::Oracle;
use still8_validation::{Failure, Result, files};
use xtask::console::Console;
use xtask::quantize::Progress;

use crate::augment::Augment;
use crate::samples::{Samples, to_model};

/// The teacher, or a committee whose outputs are averaged, with inner values that students follow.
pub struct Teacher {
    members: Vec<Oracle>,
    hash: String,
    /// Elements of each value that is asked for: the output, then the hints.
    pub sizes: Vec<usize>,
}

/// What is asked of one view of each sample.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    values: Vec<f16>,
    sizes: Vec<usize>,
}

impl Answers {
    /// One answer for all of `samples`.
    #[cfg(test)]
    pub fn same(samples: usize, answer: &[f32]) -> Self {
        let row: Vec<f16> = answer.iter().map(|&x| f16::from_f32(x)).collect();
        Self { values: row.repeat(samples), sizes: vec![answer.len()] }
    }

    /// A value of a sample.
    pub fn get(&self, sample: usize, value: usize) -> impl Iterator<Item = f32> + '_ {
        let row: usize = self.sizes.iter().sum();
        let start = sample * row + self.sizes[..value].iter().sum::<usize>();
        self.values[start..start + self.sizes[value]].iter().map(|x| x.to_f32())
    }

    /// The mean of what is said about several views of the same samples.
    pub fn mean(views: &[Self]) -> Self {
        let share = 1.0 / views.len() as f32;
        let mean = |i: usize| f16::from_f32(views.iter().map(|view| view.values[i].to_f32() * share).sum());
        let first = &views[0];
        Self { values: (0..first.values.len()).map(mean).collect(), sizes: first.sizes.clone() }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.values.len() / self.sizes.iter().sum::<usize>().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Seed of a view of a sample.
pub fn view_seed(seed: u64, sample: usize, view: usize) -> u64 {
    // Odd constants spread neighbouring samples and views over all 64 bits.
    seed ^ (sample as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (view as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03)
}

impl Teacher {
    /// Loads the members, each with the same input and the same values.
    ///
    /// # Errors
    /// Those of [`Oracle::load`]; [`Failure::Data`] where the input is of another shape.
    pub fn load(paths: &[PathBuf], output: &str, hints: &[String], input: &[usize]) -> Result<Self> {
        let values: Vec<String> = std::iter::once(output.to_owned()).chain(hints.iter().cloned()).collect();
        let mut hashes = Vec::new();
        let members: Vec<Oracle> = paths
            .iter()
            .map(|path| {
                hashes.push(files::sha256_file(path)?);
                let member = Oracle::load(path, &values)?;
                match member.input_shapes().as_slice() {
                    [shape] if shape == input => Ok(member),
                    shapes => Err(Failure::data(
                        path,
                        format!(
                            "the teacher takes inputs of shapes {shapes:?}, but `input.shape` is {input:?}"
                        ),
                    )),
                }
            })
            .collect::<Result<_>>()?;
        let zeros = ArrayD::zeros(IxDyn(input));
        let mut sizes = Vec::new();
        for (member, path) in members.iter().zip(paths) {
            let found: Vec<usize> =
                member.run(std::slice::from_ref(&zeros))?.iter().map(ArrayD::len).collect();
            if sizes.is_empty() {
                sizes.clone_from(&found);
            }
            if found != sizes {
                return Err(Failure::data(
                    path,
                    format!("a teacher of the committee gives {found:?} elements, others {sizes:?}"),
                ));
            }
        }
        let parts: Vec<&[u8]> = hashes.iter().chain(&values).map(String::as_bytes).collect();
        Ok(Self { members, hash: files::sha256_of_parts(parts), sizes })
    }

    /// The answers for a view of every sample; from the cache where they are known.
    ///
    /// # Errors
    /// Those of [`Oracle::run`], and of writing the cache.
    pub fn answers(
        &self,
        samples: &Samples,
        data_hash: &str,
        (augment, seed, view): (&Augment, u64, usize),
        cache: &Path,
        console: Console,
    ) -> Result<Answers> {
        let row: usize = self.sizes.iter().sum();
        let key = format!("{}/{data_hash}/{augment:?}/{seed}/{view}/{}", self.hash, samples.len());
        let file = cache.join(format!("{}.f16", &files::sha256_hex(key.as_bytes())[..32]));
        let bytes = samples.len() * row * size_of::<f16>();
        if let Ok(known) = std::fs::read(&file)
            && known.len() == bytes
        {
            let values =
                known.chunks_exact(2).map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]])).collect();
            return Ok(Answers { values, sizes: self.sizes.clone() });
        }
        let bar = console.progress(&format!("asking the teacher, view {}", view + 1));
        bar.start(samples.len());
        let rows: Vec<Vec<f16>> = (0..samples.len())
            .into_par_iter()
            .map(|i| {
                let mut x = samples.get(i);
                augment.apply(&mut x, samples.shape, view_seed(seed, i, view));
                let row = self.ask(&to_model(&x, samples.shape, samples.order));
                bar.step();
                row
            })
            .collect::<Result<_>>()?;
        let values = rows.concat();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        files::write_atomically(&file, |file| file.write_all(&bytes))?;
        Ok(Answers { values, sizes: self.sizes.clone() })
    }

    fn ask(&self, x: &[f32]) -> Result<Vec<f16>> {
        let mut sum = vec![0f32; self.sizes.iter().sum()];
        for member in &self.members {
            let shape = &member.input_shapes()[0];
            let x = ArrayD::from_shape_vec(IxDyn(shape), x.to_vec()).expect("the shape was checked");
            let values = member.run(&[x])?;
            sum.iter_mut().zip(values.iter().flatten()).for_each(|(sum, value)| *sum += value);
        }
        let share = 1.0 / self.members.len() as f32;
        Ok(sum.into_iter().map(|sum| f16::from_f32((sum * share).clamp(-65504.0, 65504.0))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_views() {
        let views = [[1.0f32, -2.0], [2.0, 4.0]].map(|row| Answers::same(3, &row));
        let mean = Answers::mean(&views);
        assert_eq!((mean.len(), mean.get(2, 0).collect::<Vec<_>>()), (3, vec![1.5, 1.0]));
    }
}
