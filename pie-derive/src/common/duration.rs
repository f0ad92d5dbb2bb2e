//! Durations as people write them: "30s", "5m", "1h30m", "250ms".

use syn::{Expr, ExprLit, Lit};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// A hundred years: more is a slip.
const LONGEST: u64 = 36_525 * 86_400_000;

/// The milliseconds of a duration, or what is wrong with it and what to write.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    if text.is_empty() {
        return Err("an empty duration: write one such as \"30s\"".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters =
            rest[digits..].chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum::<usize>();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        if number.is_empty() {
            return Err(format!("no number in \"{text}\": write a duration such as \"30s\" or \"1h30m\""));
        }
        if unit.is_empty() {
            return Err(format!("no unit in \"{text}\": write ms, s, m, h or d behind each number"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit `{unit}` in \"{text}\": use ms, s, m, h or d"));
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or_else(|| format!("\"{text}\" is longer than a hundred years: write a shorter duration"))?;
        rest = &rest[digits + letters..];
    }
    Ok(total)
}

/// The milliseconds of an attribute's value, which has to be a text.
pub(crate) fn of_expr(key: &str, value: &Expr) -> syn::Result<u64> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            milliseconds(&text.value()).map_err(|message| syn::Error::new(text.span(), message))
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Err(syn::Error::new(
            number.span(),
            format!("a duration needs a unit: write `{key} = \"{}s\"` for seconds", number.base10_digits()),
        )),
        other => Err(syn::Error::new_spanned(
            other,
            format!("a duration is a text, known at compile time: write `{key} = \"5m\"`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_durations_of_the_original_are_understood() {
        for (text, seconds) in
            [("5m", 300), ("10m", 600), ("30s", 30), ("2m", 120), ("1h", 3_600), ("30m", 1_800), ("1m", 60)]
        {
            assert_eq!(milliseconds(text), Ok(seconds * 1_000), "{text}");
        }
        assert_eq!(milliseconds("1h30m"), Ok(5_400_000));
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("1d"), Ok(86_400_000));
        assert_eq!(milliseconds("0s"), Ok(0));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (text, part) in [
            ("", "an empty duration"),
            ("5", "no unit"),
            ("m", "no number"),
            ("5x", "unknown unit `x` in \"5x\": use ms, s, m, h or d"),
            ("5 m", "no unit"),
            ("-5m", "no number"),
            ("5m3", "no unit"),
            ("1.5h", "no unit"),
            ("99999999999999999999d", "a hundred years"),
            ("5\u{b5}s", "unknown unit"),
        ] {
            let message = milliseconds(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
