//! Measures of agreement, as pure functions on logits, class indices and scores.
//!
//! Sums are in f64. Where a measure is undefined (no samples, a class without samples) the result is `None`.

/// Index of the largest logit; the lowest index among equals. A NaN never wins; of nothing it is 0.
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] || logits[best].is_nan() && !logit.is_nan() {
            best = index;
        }
    }
    best
}

/// Share of places at which `a` and `b` are equal: accuracy against labels, agreement between two networks.
///
/// # Panics
/// Where the lengths differ.
pub fn agreement(a: &[usize], b: &[usize]) -> Option<f64> {
    assert_eq!(a.len(), b.len());
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
    (!a.is_empty()).then(|| equal as f64 / a.len() as f64)
}

/// exp(zᵢ ⁄ T) ⁄ Σⱼ exp(zⱼ ⁄ T) for temperature T > 0.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    log_softmax(logits, temperature).into_iter().map(f64::exp).collect()
}

/// Σ p·ln(p ⁄ q) in nats, where p and q are the softmax of the two logits at temperature T.
///
/// # Panics
/// Where the lengths differ.
pub fn kl_divergence(p_logits: &[f32], q_logits: &[f32], temperature: f64) -> f64 {
    assert_eq!(p_logits.len(), q_logits.len());
    let (p, q) = (log_softmax(p_logits, temperature), log_softmax(q_logits, temperature));
    let sum: f64 = p.iter().zip(&q).map(|(&ln_p, &ln_q)| term(ln_p, ln_q)).sum();
    // Rounding may leave the sum of equal distributions just below 0.
    sum.max(0.0)
}

/// Mean of [`kl_divergence`] over samples.
///
/// # Panics
/// Where the numbers of samples or classes differ.
pub fn mean_kl(p_logits: &[Vec<f32>], q_logits: &[Vec<f32>], temperature: f64) -> Option<f64> {
    assert_eq!(p_logits.len(), q_logits.len());
    let sum: f64 = p_logits.iter().zip(q_logits).map(|(p, q)| kl_divergence(p, q, temperature)).sum();
    (!p_logits.is_empty()).then(|| sum / p_logits.len() as f64)
}

/// Bins of [`calibration_error`].
const CONFIDENCE_BINS: usize = 15;

/// The expected calibration error (Guo et al., arXiv:1706.04599): Σ over 15 equal bins of confidence, each weighed by its
/// share of the samples, of |share of right choices − mean confidence|. 0: of the choices made with confidence p a share p
/// is right. A bin holds its upper edge.
///
/// # Panics
/// Where the lengths differ.
pub fn calibration_error(confidence: &[f64], right: &[bool]) -> Option<f64> {
    assert_eq!(confidence.len(), right.len());
    // Right choices less confidence: the bin's size cancels out.
    let mut excess = [0.0; CONFIDENCE_BINS];
    for (&confidence, &right) in confidence.iter().zip(right) {
        let bin = (confidence * CONFIDENCE_BINS as f64).ceil() as usize;
        excess[bin.clamp(1, CONFIDENCE_BINS) - 1] += f64::from(u8::from(right)) - confidence;
    }
    let sum: f64 = excess.iter().map(|excess| excess.abs()).sum();
    (!right.is_empty()).then(|| sum / right.len() as f64)
}

/// 10·log₁₀(Σx² ⁄ Σ(x−y)²): how far the signal x stands above what quantizing it to y changed. Infinite for
/// equal signals.
///
/// # Panics
/// Where the lengths differ.
pub fn sqnr_db(x: &[f32], y: &[f32]) -> f64 {
    assert_eq!(x.len(), y.len());
    let square = |x: f64| x * x;
    let signal: f64 = x.iter().map(|&x| square(x.into())).sum();
    let noise: f64 = x.iter().zip(y).map(|(&x, &y)| square(f64::from(x) - f64::from(y))).sum();
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

/// Mean of (x − y)²: the score of a reconstruction y of x. `None` of nothing.
///
/// # Panics
/// Where the lengths differ.
pub fn mean_squared_error(x: &[f32], y: &[f32]) -> Option<f64> {
    assert_eq!(x.len(), y.len());
    let sum: f64 = x.iter().zip(y).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
    (!x.is_empty()).then(|| sum / x.len() as f64)
}

/// The coefficient of determination R² = 1 − Σ(y − estimate)² ⁄ Σ(y − mean of y)²: 1 where the estimate is right, 0 where it is no
/// better than the mean, below 0 where it is worse. `None` where y is constant, or there is nothing.
///
/// # Panics
/// Where the lengths differ.
pub fn r_squared(y: &[f64], estimate: &[f64]) -> Option<f64> {
    assert_eq!(y.len(), estimate.len());
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let variation: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    let error: f64 = y.iter().zip(estimate).map(|(y, estimate)| (y - estimate).powi(2)).sum();
    (variation > 0.0).then(|| 1.0 - error / variation)
}

/// Area under the ROC curve: the chance that a sample of class 1 has a larger score than one of class 0, where equal scores
/// count half. From the rank sum of class 1 (Mann and Whitney 1947). `None` where a class has no sample or a score is NaN.
///
/// # Panics
/// Where the lengths differ.
pub fn auc(labels: &[usize], scores: &[f64]) -> Option<f64> {
    assert_eq!(labels.len(), scores.len());
    let positives = labels.iter().filter(|&&label| label == 1).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let of_positives = ranks(scores)?.into_iter().zip(labels).filter(|&(_, &label)| label == 1);
    let sum: f64 = of_positives.map(|(rank, _)| rank).sum();
    Some((sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Spearman's correlation: that of the ranks, so that only the order of scores counts. `None` where all scores of one
/// side are equal or one is NaN.
///
/// # Panics
/// Where the lengths differ.
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len());
    let (a, b) = (ranks(a)?, ranks(b)?);
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

/// Share of the pairs of samples that `a` and `b` put in opposite orders; equal scores are in no order. `None` below two
/// samples. No AUC changes by more than the share of its pairs that change.
///
/// # Panics
/// Where the lengths differ.
pub fn reordered(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len());
    let pairs = a.len() * a.len().saturating_sub(1) / 2;
    let swapped = |i: usize| (0..i).filter(|&j| (a[i] - a[j]) * (b[i] - b[j]) < 0.0).count();
    (pairs > 0).then(|| (0..a.len()).map(swapped).sum::<usize>() as f64 / pairs as f64)
}

/// Ranks from 1; equal scores share their mean rank. `None` with a NaN.
fn ranks(scores: &[f64]) -> Option<Vec<f64>> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let mut below = 0;
    // -0.0 and 0.0 are equal.
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let mean = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&i| ranks[i] = mean);
        below += tied.len();
    }
    Some(ranks)
}

/// Counts of (label, predicted class).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Counts the predictions for each label.
    ///
    /// # Panics
    /// Where the lengths differ or a class is not below `classes`.
    pub fn new(labels: &[usize], predicted: &[usize], classes: usize) -> Self {
        assert_eq!(labels.len(), predicted.len());
        let mut counts = vec![vec![0; classes]; classes];
        for (&label, &class) in labels.iter().zip(predicted) {
            counts[label][class] += 1;
        }
        Self { counts }
    }

    /// Rows are labels, columns predicted classes.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Samples of this class.
    pub fn support(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    /// Samples for which this class was predicted.
    pub fn predicted(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// Share of the class's samples that were recognized: its accuracy. `None` without samples.
    pub fn recall(&self, class: usize) -> Option<f64> {
        ratio(self.counts[class][class], self.support(class))
    }

    /// Share of the class's predictions that were right. `None` where it was never predicted.
    pub fn precision(&self, class: usize) -> Option<f64> {
        ratio(self.counts[class][class], self.predicted(class))
    }

    /// 2·right ⁄ (samples + predictions): the harmonic mean of recall and precision. `None` where the class
    /// has neither samples nor predictions; 0 where it has only one of them.
    pub fn f1(&self, class: usize) -> Option<f64> {
        ratio(2 * self.counts[class][class], self.support(class) + self.predicted(class))
    }

    /// Mean F1 over the classes that have one.
    pub fn macro_f1(&self) -> Option<f64> {
        let scores: Vec<f64> = (0..self.counts.len()).filter_map(|class| self.f1(class)).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// ln softmax, shifted by the largest logit so that no exponential overflows.
fn log_softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = logits.iter().map(|&logit| f64::from(logit) / temperature).collect();
    let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ln_sum = scaled.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() + largest;
    scaled.into_iter().map(|z| z - ln_sum).collect()
}

/// p·(ln p − ln q), which is 0 for p = 0.
fn term(ln_p: f64, ln_q: f64) -> f64 {
    let p = ln_p.exp();
    if p == 0.0 { 0.0 } else { p * (ln_p - ln_q) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels and predictions of six samples in four classes; class 3 has neither, class 2 no prediction.
    const LABELS: [usize; 6] = [0, 0, 0, 1, 1, 2];
    const PREDICTED: [usize; 6] = [0, 0, 1, 1, 0, 0];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn argmax_takes_the_lowest_of_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[-1.0, -2.0]), 0);
        assert_eq!(argmax(&[f32::NAN, -2.0, -1.0]), 2);
        assert_eq!(argmax(&[0.0, f32::NAN]), 0);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn agreement_counts_equal_places() {
        assert_eq!(agreement(&LABELS, &PREDICTED), Some(0.5));
        assert_eq!(agreement(&[], &[]), None);
    }

    #[test]
    fn softmax_of_logarithms_is_their_share() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for (share, expected) in softmax(&logits, 1.0).into_iter().zip([0.125, 0.25, 0.625]) {
            assert!((share - expected).abs() < 1e-7, "{share}");
        }
        // At temperature 2 the shares are those of the square roots.
        close(softmax(&[0.0, 0.0], 2.0)[0], 0.5);
        assert!((softmax(&[0.0, 9f32.ln()], 2.0)[1] - 0.75).abs() < 1e-7);
        close(softmax(&[1e30, 0.0], 1.0)[0], 1.0);
    }

    #[test]
    fn kl_by_hand() {
        // p = (1/2, 1/2), q = (1/4, 3/4): ½·ln 2 + ½·ln(2/3) = ½·ln(4/3).
        let (p, q) = (vec![0.0, 0.0], vec![0.0, 3f32.ln()]);
        let expected = 0.5 * (4.0f64 / 3.0).ln();
        assert!((kl_divergence(&p, &q, 1.0) - expected).abs() < 1e-7);
        assert_eq!(kl_divergence(&q, &q, 1.0), 0.0);
        // At temperature 2, q = (1, √3) ⁄ (1 + √3).
        let root = 3f64.sqrt();
        let softened = 0.5 * ((1.0 + root) / 2.0).ln() + 0.5 * ((1.0 + root) / (2.0 * root)).ln();
        assert!((kl_divergence(&p, &q, 2.0) - softened).abs() < 1e-7);
        let mean = mean_kl(&[p.clone(), q.clone()], &[q.clone(), q], 1.0).unwrap();
        assert!((mean - expected / 2.0).abs() < 1e-7);
        assert_eq!(mean_kl(&[], &[], 1.0), None);
    }

    #[test]
    fn kl_survives_extreme_logits() {
        // p is (1, 0); q gives the first class e⁻²⁰⁰⁰.
        close(kl_divergence(&[2000.0, 0.0], &[0.0, 2000.0], 1.0), 2000.0);
    }

    #[test]
    fn calibration_error_by_hand() {
        // Confidence 0.95 lies in the last bin: 3 of 4 right, 0.2 too sure. 0.5 and 0.52 lie in the eighth, (7 ⁄ 15, 8 ⁄ 15]:
        // both right, 0.49 too unsure.
        let confidence = [0.95, 0.95, 0.95, 0.95, 0.5, 0.52];
        let right = [true, true, true, false, true, true];
        close(calibration_error(&confidence, &right).unwrap(), (4.0 * 0.2 + 2.0 * 0.49) / 6.0);
        close(calibration_error(&[1.0, 0.0], &[true, false]).unwrap(), 0.0);
        // 0.2 is the third bin's upper edge; in one bin too sure and too unsure cancel out.
        close(calibration_error(&[0.2, 0.19], &[true, false]).unwrap(), (0.8 - 0.19) / 2.0);
        assert_eq!(calibration_error(&[], &[]), None);
    }

    #[test]
    fn sqnr_by_hand() {
        // Signal 25, noise 0.25.
        close(sqnr_db(&[3.0, 4.0], &[3.0, 4.5]), 20.0);
        assert_eq!(sqnr_db(&[1.0], &[1.0]), f64::INFINITY);
        assert_eq!(sqnr_db(&[0.0], &[1.0]), f64::NEG_INFINITY);
    }

    #[test]
    fn auc_by_hand() {
        // Of the pairs (normal 1 or 3, anomalous 2 or 4) three are in order, one is not.
        assert_eq!(auc(&[0, 1, 0, 1], &[1.0, 2.0, 3.0, 4.0]), Some(0.75));
        assert_eq!(auc(&[0, 0, 1], &[1.0, 2.0, 3.0]), Some(1.0));
        assert_eq!(auc(&[1, 0, 0], &[1.0, 2.0, 3.0]), Some(0.0));
        // One pair is equal, one in order: (½ + 1) ⁄ 2. Where all are equal, nothing is told apart.
        assert_eq!(auc(&[0, 0, 1], &[1.0, 2.0, 2.0]), Some(0.75));
        assert_eq!(auc(&[0, 1, 0, 1], &[7.0; 4]), Some(0.5));
        assert_eq!(auc(&[0, 1], &[-0.0, 0.0]), Some(0.5));
        assert_eq!(auc(&[0, 1], &[1.0, f64::INFINITY]), Some(1.0));
        assert_eq!(auc(&[0, 0], &[1.0, 2.0]), None);
        assert_eq!(auc(&[1], &[1.0]), None);
        assert_eq!(auc(&[0, 1], &[1.0, f64::NAN]), None);
    }

    #[test]
    fn rank_correlation_by_hand() {
        let close = |found: Option<f64>, expected: f64| close(found.unwrap(), expected);
        close(rank_correlation(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]), 1.0);
        close(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // Ranks 1, 2, 3 and 1, 3, 2: 1 − 6·2 ⁄ (3·8).
        close(rank_correlation(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]), 0.5);
        assert_eq!(rank_correlation(&[1.0, 2.0], &[5.0, 5.0]), None);
        assert_eq!(rank_correlation(&[], &[]), None);
    }

    #[test]
    fn reordered_by_hand() {
        assert_eq!(reordered(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]), Some(1.0 / 3.0));
        assert_eq!(reordered(&[1.0, 2.0], &[2.0, 1.0]), Some(1.0));
        assert_eq!(reordered(&[1.0, 2.0], &[2.0, 2.0]), Some(0.0));
        assert_eq!(reordered(&[1.0], &[1.0]), None);
    }

    #[test]
    fn mean_squared_error_by_hand() {
        assert_eq!(mean_squared_error(&[1.0, 2.0], &[1.0, 4.0]), Some(2.0));
        assert_eq!(mean_squared_error(&[], &[]), None);
    }

    #[test]
    fn confusion_by_hand() {
        let confusion = Confusion::new(&LABELS, &PREDICTED, 4);
        assert_eq!(confusion.counts(), [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0; 4]]);
        assert_eq!([0, 1, 2, 3].map(|class| confusion.support(class)), [3, 2, 1, 0]);
        assert_eq!(
            [0, 1, 2, 3].map(|class| confusion.recall(class)),
            [Some(2.0 / 3.0), Some(0.5), Some(0.0), None]
        );
        assert_eq!([0, 1, 2, 3].map(|class| confusion.precision(class)), [Some(0.5), Some(0.5), None, None]);
        assert_eq!(
            [0, 1, 2, 3].map(|class| confusion.f1(class)),
            [Some(4.0 / 7.0), Some(0.5), Some(0.0), None]
        );
        close(confusion.macro_f1().unwrap(), (4.0 / 7.0 + 0.5) / 3.0);
        assert_eq!(Confusion::new(&[], &[], 3).macro_f1(), None);
    }
}
