//! Which of two quantizations of a network is closer to it, and how sure that is.

use serde::Serialize;
use still8_validation::metrics::argmax;
use still8_validation::random::SplitMix64;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;
const SEED: u64 = 1;

/// Both quantizations by one measure: accuracy where there are labels, else SQNR of the output in dB.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Judged {
    pub measure: &'static str,
    /// The float network's.
    pub float: Option<f64>,
    pub ours: f64,
    pub ort: f64,
    /// Ours less theirs.
    pub better_by: f64,
    /// Its 95 % interval: paired bootstrap over the test samples.
    pub interval: [f64; 2],
    pub sqnr_db: f64,
    pub ort_sqnr_db: f64,
    /// Whether we lose no more than they do: by the measure, or by SQNR where the interval holds 0, so that the measure cannot
    /// tell the two apart.
    pub passed: bool,
}

/// Outputs, a row a sample.
type Rows = [Vec<f32>];

/// Judges `ours` against the best of `methods`, which is named.
pub fn judge(
    float: &Rows,
    ours: &Rows,
    methods: &[(String, Vec<Vec<f32>>)],
    labels: Option<&[usize]>,
) -> Option<(String, Judged)> {
    let score = |rows: &Rows| match labels {
        Some(labels) => accuracy(&correct(rows, labels)),
        None => sqnr_db(&energies(float, rows)),
    };
    // By accuracy alone several can be equal: the closer one is the better.
    let key = |rows: &Rows| (score(rows), sqnr_db(&energies(float, rows)));
    let best = methods.iter().max_by(|a, b| {
        let (a, b) = (key(&a.1), key(&b.1));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    })?;
    let interval = match labels {
        Some(labels) => {
            let pairs: Vec<_> = correct(ours, labels).into_iter().zip(correct(&best.1, labels)).collect();
            let share =
                |pairs: &[(f64, f64)]| pairs.iter().map(|(a, b)| a - b).sum::<f64>() / pairs.len() as f64;
            bootstrap(&pairs, share)
        }
        None => {
            let pairs: Vec<_> = energies(float, ours).into_iter().zip(energies(float, &best.1)).collect();
            bootstrap(&pairs, |pairs| {
                let (a, b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
                sqnr_db(&a) - sqnr_db(&b)
            })
        }
    };
    let (mine, theirs) = (score(ours), score(&best.1));
    let [closeness, their_closeness] = [ours, &best.1].map(|rows| sqnr_db(&energies(float, rows)));
    let judged = Judged {
        measure: if labels.is_some() { "accuracy" } else { "SQNR" },
        float: labels.map(|labels| accuracy(&correct(float, labels))),
        ours: mine,
        ort: theirs,
        better_by: mine - theirs,
        interval,
        sqnr_db: closeness,
        ort_sqnr_db: their_closeness,
        passed: mine >= theirs || (interval[1] >= 0.0 && closeness >= their_closeness),
    };
    Some((best.0.clone(), judged))
}

/// 1 for each sample whose largest output is its label, else 0.
fn correct(rows: &Rows, labels: &[usize]) -> Vec<f64> {
    rows.iter().zip(labels).map(|(row, &label)| f64::from(u8::from(argmax(row) == label))).collect()
}

fn accuracy(correct: &[f64]) -> f64 {
    correct.iter().sum::<f64>() / correct.len().max(1) as f64
}

/// Energies of signal and error of each sample.
fn energies(float: &Rows, rows: &Rows) -> Vec<(f64, f64)> {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let of = |(x, y): (&Vec<f32>, &Vec<f32>)| {
        let signal = x.iter().map(|&x| square(x)).sum();
        (signal, x.iter().zip(y).map(|(&x, &y)| square(x - y)).sum())
    };
    float.iter().zip(rows).map(of).collect()
}

fn sqnr_db(energies: &[(f64, f64)]) -> f64 {
    let signal: f64 = energies.iter().map(|energy| energy.0).sum();
    let error: f64 = energies.iter().map(|energy| energy.1).sum();
    10.0 * (signal / error).log10()
}

/// The middle 95 % of `statistic` over resampled pairs.
fn bootstrap<T: Copy>(pairs: &[T], statistic: impl Fn(&[T]) -> f64) -> [f64; 2] {
    let mut random = SplitMix64::new(SEED);
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let pick = |_| pairs[(random.next_u64() % pairs.len().max(1) as u64) as usize];
            statistic(&(0..pairs.len()).map(pick).collect::<Vec<_>>())
        })
        .collect();
    values.sort_by(f64::total_cmp);
    [values[RESAMPLES / 40], values[RESAMPLES - 1 - RESAMPLES / 40]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closer_one_wins_and_the_interval_holds_the_difference() {
        let float: Vec<Vec<f32>> = (0..200).map(|i| vec![i as f32 / 10.0, 5.0]).collect();
        let off =
            |by: f32| float.iter().map(|row| row.iter().map(|x| x + by).collect()).collect::<Vec<Vec<f32>>>();
        let methods = [("far".to_owned(), off(1.0)), ("near".to_owned(), off(0.2))];
        let (best, judged) = judge(&float, &off(0.1), &methods, None).unwrap();
        assert_eq!((best.as_str(), judged.measure, judged.passed), ("near", "SQNR", true));
        assert!((judged.better_by - 6.02).abs() < 0.01, "{judged:?}");
        assert!(judged.interval[0] <= judged.better_by && judged.better_by <= judged.interval[1]);
        let labels: Vec<usize> = (0..200).map(|i| usize::from(i < 50)).collect();
        let (_, judged) = judge(&float, &off(1.0), &methods, Some(&labels)).unwrap();
        assert_eq!((judged.measure, judged.better_by, judged.interval), ("accuracy", 0.0, [0.0, 0.0]));
        assert!(judged.float.unwrap() > 0.9);
    }

    /// Of 200 samples, float and they give all their labels; ours misses the first few, by outputs that are `off` theirs.
    fn missing(few: usize, off: f32) -> Judged {
        let float = vec![vec![1.0, 0.0]; 200];
        let theirs = vec![vec![1.2, 0.0]; 200];
        let ours: Vec<Vec<f32>> =
            (0..200).map(|i| if i < few { vec![0.49, 0.5] } else { vec![1.2 + off, 0.0] }).collect();
        judge(&float, &ours, &[("theirs".to_owned(), theirs)], Some(&[0; 200])).unwrap().1
    }

    #[test]
    fn closeness_decides_where_accuracy_cannot() {
        let close = missing(1, -0.2);
        assert!(close.better_by < 0.0 && close.interval[1] >= 0.0 && close.sqnr_db > close.ort_sqnr_db);
        assert!(close.passed);
        // As few errors, but farther from the float network.
        assert!(!missing(1, 0.1).passed);
        // Closer on the whole, but surely less accurate.
        let worse = missing(9, -0.2);
        assert!(worse.interval[1] < 0.0 && worse.sqnr_db > worse.ort_sqnr_db && !worse.passed, "{worse:?}");
    }

    #[test]
    fn without_any_method_there_is_no_judgement() {
        assert_eq!(judge(&[vec![1.0]], &[vec![1.0]], &[], None), None);
    }
}
