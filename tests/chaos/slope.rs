//! How fast something grows: the least squares' line through samples.

/// Growth of the second in each pair for one unit of the first; 0 where there is no line.
pub fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
    if spread > 0.0 { samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum::<f64>() / spread } else { 0.0 }
}

#[test]
fn a_line_has_its_slope_and_noise_that_cancels_out_has_none() {
    let line: Vec<_> = (0..10).map(|n| (f64::from(n), 7.0 + 3.0 * f64::from(n))).collect();
    assert!((slope(&line) - 3.0).abs() < 1e-9);
    assert_eq!(slope(&[(0.0, 1.0), (0.0, 5.0), (1.0, 5.0), (1.0, 1.0)]), 0.0);
    assert_eq!(slope(&[(1.0, 1.0)]), 0.0);
}
