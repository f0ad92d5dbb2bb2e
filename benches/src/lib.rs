//! What the benchmarks share: rounds, medians, and one JSON object for each line.
//!
//! Every figure is a ratio to a floor that is measured in the same run, round by round in turn.

use std::time::Duration;

/// The median of some figures.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds for each of `count` operations.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

/// One measured pair: pie and its floor.
#[derive(Debug, Default)]
pub struct Pair {
    pie: Vec<f64>,
    floor: Vec<f64>,
}

impl Pair {
    /// Adds a round: nanoseconds for each operation.
    pub fn round(&mut self, pie: f64, floor: f64) {
        self.pie.push(pie);
        self.floor.push(floor);
    }

    /// Prints the line of this pair.
    #[allow(clippy::print_stdout, reason = "it is what a benchmark does")]
    pub fn print(self, bench: &str, more: &str) {
        let ratios: Vec<f64> = self.pie.iter().zip(&self.floor).map(|(pie, floor)| pie / floor).collect();
        println!(
            "{{\"bench\": \"{bench}\", \"ratio\": {:.3}, \"pie_ns\": {:.1}, \"floor_ns\": {:.1}, \"rounds\": {}{more}}}",
            median(ratios),
            median(self.pie.clone()),
            median(self.floor.clone()),
            self.pie.len(),
        );
    }
}
