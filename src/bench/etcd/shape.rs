//! How the asked rate changes over a run: constant, ramp, spike, wave.
//!
//! A shape is known by its integral: how many requests should have begun by a moment. The moment
//! at which the n-th should begin is the inverse, so that a schedule is the same on every machine
//! and no late request moves the ones behind it.

use std::f64::consts::TAU;

/// The shape of a run's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The same rate all the time.
    Constant,
    /// From a tenth of the rate up to the whole rate, in a straight line.
    Ramp,
    /// A third of the rate, then the whole rate for the middle fifth, then a third again.
    Spike,
    /// Around half the rate, between nothing and the whole rate, in whole waves.
    Wave,
}

/// Share of the rate that a ramp begins with.
const RAMP_FROM: f64 = 0.1;
/// Share of the rate before and after a spike.
const SPIKE_BASE: f64 = 1.0 / 3.0;
/// Where a spike begins and ends, as shares of the run.
const SPIKE: (f64, f64) = (0.4, 0.6);
/// Waves in a run.
const WAVES: f64 = 4.0;

impl Shape {
    /// Every shape with its name.
    pub const ALL: [(Shape, &'static str); 4] = [
        (Shape::Constant, "constant"),
        (Shape::Ramp, "ramp"),
        (Shape::Spike, "spike"),
        (Shape::Wave, "wave"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(shape, _)| *shape == self)
            .map_or("", |(_, name)| name)
    }

    /// Share of the peak rate at `x`, a share of the run.
    pub fn share(self, x: f64) -> f64 {
        match self {
            Shape::Constant => 1.0,
            Shape::Ramp => RAMP_FROM + (1.0 - RAMP_FROM) * x,
            Shape::Spike if (SPIKE.0..SPIKE.1).contains(&x) => 1.0,
            Shape::Spike => SPIKE_BASE,
            Shape::Wave => 0.5 - 0.5 * (TAU * WAVES * x).cos(),
        }
    }

    /// Integral of [`Shape::share`] from 0 to `x`.
    fn integral(self, x: f64) -> f64 {
        match self {
            Shape::Constant => x,
            Shape::Ramp => RAMP_FROM * x + (1.0 - RAMP_FROM) * x * x / 2.0,
            Shape::Spike => {
                let inside = x.clamp(SPIKE.0, SPIKE.1) - SPIKE.0;
                SPIKE_BASE * x + (1.0 - SPIKE_BASE) * inside
            }
            Shape::Wave => 0.5 * x - 0.5 * (TAU * WAVES * x).sin() / (TAU * WAVES),
        }
    }

    /// The `x` whose integral is `area`: bisection, because a wave's rate touches zero and
    /// Newton's step would fly away there.
    fn inverse(self, area: f64) -> f64 {
        if self == Shape::Constant {
            return area;
        }
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        // 2^-40 of an hour is 3 ns.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if self.integral(middle) < area {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// When each request of a run should begin.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    shape: Shape,
    rate: f64,
    secs: f64,
}

impl Schedule {
    /// At most `rate` a second for `secs`.
    pub fn new(shape: Shape, rate: f64, secs: f64) -> Self {
        Schedule { shape, rate, secs }
    }

    /// The highest rate that it asks for.
    pub fn peak(&self) -> f64 {
        self.rate
    }

    /// Requests in the whole run.
    pub fn total(&self) -> u64 {
        count(self.rate * self.secs * self.shape.integral(1.0))
    }

    /// Nanoseconds from the begin of the run to the begin of request `n` (from 0 on).
    pub fn at_ns(&self, n: u64) -> u64 {
        let area = n as f64 / (self.rate * self.secs);
        count(self.shape.inverse(area) * self.secs * 1e9)
    }

    /// Requests that should have begun by `ns` after the begin.
    pub fn due(&self, ns: u64) -> u64 {
        let x = (ns as f64 / 1e9 / self.secs).min(1.0);
        count(self.rate * self.secs * self.shape.integral(x))
    }

    /// Rate asked for at `ns` after the begin.
    pub fn rate_at(&self, ns: u64) -> f64 {
        self.rate * self.shape.share((ns as f64 / 1e9 / self.secs).min(1.0))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and all of these are small and positive"
)]
fn count(value: f64) -> u64 {
    (value + 1e-6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_is_evenly_spaced() {
        let schedule = Schedule::new(Shape::Constant, 1000.0, 10.0);
        assert_eq!(schedule.total(), 10_000);
        assert_eq!(schedule.at_ns(0), 0);
        assert_eq!(schedule.at_ns(1), 1_000_000);
        assert_eq!(schedule.at_ns(2500), 2_500_000_000);
    }

    #[test]
    fn a_ramp_reaches_the_rate_at_the_end_and_averages_a_bit_more_than_half() {
        let schedule = Schedule::new(Shape::Ramp, 1000.0, 10.0);
        assert_eq!(schedule.total(), 5500);
        assert!((schedule.rate_at(0) - 100.0).abs() < 1e-9);
        assert!((schedule.rate_at(10_000_000_000) - 1000.0).abs() < 1e-9);
        // The first second has 100..190 requests a second, so 145 in it.
        assert_eq!(schedule.due(1_000_000_000), 145);
    }

    #[test]
    fn a_spike_is_three_times_the_base_for_a_fifth_of_the_run() {
        let schedule = Schedule::new(Shape::Spike, 900.0, 10.0);
        assert_eq!(schedule.due(4_000_000_000), 1200);
        assert_eq!(
            schedule.due(6_000_000_000) - schedule.due(4_000_000_000),
            1800
        );
        assert_eq!(schedule.total(), 4200);
    }

    #[test]
    fn a_wave_is_half_of_the_rate_on_average_and_nothing_at_its_foot() {
        let schedule = Schedule::new(Shape::Wave, 1000.0, 8.0);
        assert_eq!(schedule.total(), 4000);
        assert!(schedule.rate_at(0) < 1e-9);
        assert!((schedule.rate_at(1_000_000_000) - 1000.0).abs() < 1e-6);
    }

    #[test]
    fn every_schedule_rises_and_agrees_with_its_integral() {
        for (shape, name) in Shape::ALL {
            let schedule = Schedule::new(shape, 777.0, 7.0);
            let mut last = 0;
            for n in 0..schedule.total() {
                let at = schedule.at_ns(n);
                assert!(at >= last, "{name} {n}");
                last = at;
                let due = schedule.due(at);
                assert!(due.abs_diff(n) <= 1, "{name}: {n} at {at} ns, due {due}");
            }
            assert!(last <= 7_000_000_000, "{name}");
            assert_eq!(shape.name(), name);
        }
    }
}
