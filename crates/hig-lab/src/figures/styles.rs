//! Which colour, dashes and symbol a method has: by its name, in every figure and on every page.

/// The styles of the registered methods. The first eight, those that are compared most, differ in colour;
/// from there on the colours come again with other dashes and symbols.
const METHODS: [(&str, usize); 18] = [
    ("adam", 0),
    ("hig", 1),
    ("gn", 2),
    ("adaptive-hig", 3),
    ("lm", 4),
    ("spring", 5),
    ("sgd", 6),
    ("lbfgs", 7),
    ("momentum", 8),
    ("adagrad", 9),
    ("gn-line-search", 10),
    ("sip", 11),
    ("gd", 12),
    ("adadelta", 13),
    ("rmsprop", 14),
    ("soap", 15),
    ("kron-hig", 16),
    ("prime-sr", 17),
];

const COLOURS: usize = 8;
/// Styles from here on are those of what is no method alone: chains, settings of one method.
const OTHERS: usize = 24;
const STYLES: usize = 64;

/// What marks a place rather than a method: `start`, `target`.
pub fn of_place(place: usize) -> usize {
    STYLES - 1 - place
}

/// The style of a registered method.
pub fn of_method(name: &str) -> Option<usize> {
    let found = METHODS.iter().find(|(known, _)| *known == name);
    found.map(|(_, style)| *style)
}

/// The styles of curves by their labels, each another one. A method alone has its own in whatever
/// company; what tells more than a method, as `adam:500+hig` or `hig cutoff=1e-4`, has the colour of
/// its last method with dashes and a symbol that no method has; anything else follows its name.
pub fn of_labels<S: AsRef<str>>(labels: &[S]) -> Vec<usize> {
    let mut taken = Vec::with_capacity(labels.len());
    let style_of = |label: &S| {
        let label = label.as_ref();
        let style = match (of_method(&label.to_ascii_lowercase()), method_in(label)) {
            (Some(style), _) => style,
            (None, Some(method)) => free(&taken, OTHERS + method % COLOURS, COLOURS),
            (None, None) => free(&taken, OTHERS + hash(label) % (STYLES - OTHERS), 1),
        };
        taken.push(style);
        style
    };
    labels.iter().map(style_of).collect()
}

/// The style of the last method that a label names.
fn method_in(label: &str) -> Option<usize> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = label.split(|c| !of_name(c));
    let mut found = words.filter_map(|word| of_method(&word.to_ascii_lowercase()));
    found.next_back()
}

/// The first of the styles `first`, `first + step`, … that is not taken; `first` where all are.
fn free(taken: &[usize], first: usize, step: usize) -> usize {
    let round = STYLES - OTHERS;
    let style = |k: usize| OTHERS + (first - OTHERS + k * step) % round;
    let mut styles = (0..round / step).map(style);
    styles.find(|s| !taken.contains(s)).unwrap_or(first)
}

/// FNV-1a.
fn hash(text: &str) -> usize {
    let bytes = text.bytes();
    let mixed = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    mixed as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_registered_method_has_a_style_of_its_own() {
        let mut styles = BTreeSet::new();
        for method in hig::step::methods() {
            let style = of_method(method.name());
            let style = style.unwrap_or_else(|| panic!("{}", method.name()));
            assert!(style < OTHERS && styles.insert(style), "{}", method.name());
        }
        assert_eq!(styles.len(), METHODS.len());
    }

    #[test]
    fn a_method_keeps_its_style_in_any_company() {
        let alone = of_labels(&["lm"])[0];
        for company in [
            &["hig", "lm"][..],
            &["lm", "lm cutoff=1", "adam:5+lm", "something"],
            &["something", "adam:5+lm", "lm"],
        ] {
            let place = company.iter().position(|name| *name == "lm").unwrap();
            assert_eq!(of_labels(company)[place], alone, "{company:?}");
        }
    }

    #[test]
    fn all_curves_of_a_chart_differ() {
        let mut labels: Vec<String> = hig::step::methods()
            .iter()
            .map(|method| method.name().to_owned())
            .collect();
        labels.extend((0..5).map(|k| format!("hig cutoff={k}")));
        labels.extend((0..5).map(|k| format!("adam:{k}+gn")));
        labels.extend((0..20).map(|k| format!("my way {k}")));
        let styles = of_labels(&labels);
        let different: BTreeSet<_> = styles.iter().collect();
        assert_eq!(different.len(), labels.len());
    }

    #[test]
    fn what_tells_more_than_a_method_has_its_colour() {
        let styles = of_labels(&["hig", "adam:500+hig", "hig cutoff=1e-4", "HIG, paper"]);
        let own = of_method("hig").unwrap() % COLOURS;
        assert!(
            styles.iter().all(|style| style % COLOURS == own),
            "{styles:?}"
        );
    }
}
