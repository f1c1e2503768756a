//! Numbers as text.

/// A positive value, as a multiple of a power of ten unless it is of moderate size.
pub fn number(value: f64, step: f64) -> String {
    let exponent = (value.log10() + 1e-9).floor() as i32;
    if exponent.abs() <= 3 {
        return decimal(value, step);
    }
    let unit = 10f64.powi(exponent);
    match decimal(value / unit, step / unit).as_str() {
        "1" => power_of_ten(exponent),
        digits => format!("{digits}·{}", power_of_ten(exponent)),
    }
}

/// The value with as many digits as steps of this size need.
pub fn decimal(value: f64, step: f64) -> String {
    let digits = (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    let nought = value.abs() < 1e-6 * step;
    let text = format!("{:.digits$}", if nought { 0.0 } else { value });
    text.replace('-', "−")
}

/// Ten with a raised exponent.
pub fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    let exponent = exponent.to_string();
    format!("10{}", exponent.chars().map(raised).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_round() {
        assert_eq!(number(1e-14, 1e-14), "10⁻¹⁴");
        assert_eq!(number(2.5e6, 5e5), "2.5·10⁶");
        assert_eq!(number(0.2, 0.1), "0.2");
        assert_eq!(decimal(-1.5, 0.5), "−1.5");
        assert_eq!(decimal(-1e-17, 0.1), "0.0");
    }
}
