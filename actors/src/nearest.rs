//! What somebody may have meant who wrote a name that does not exist.

/// The name that somebody who wrote `word` may have meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> Vec<char> {
        name.chars().take(64).filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(word);
    let limit = (wanted.len() / 3).max(1);
    let distances = names.into_iter().map(|name| (distance(&wanted, &plain(name)), name));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Levenshtein's distance, where two neighbours that changed places count as one change.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (row[j] + usize::from(x != y)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_what_was_meant() {
        let names = ["when", "restarts", "initial_status", "interval", "interfaces", "healthy", "unhealthy", "exec"];
        for (typo, meant) in [
            ("wehn", "when"),
            ("restart", "restarts"),
            ("initialStatus", "initial_status"),
            ("intervall", "interval"),
            ("intreval", "interval"),
            ("helthy", "healthy"),
            ("Exec", "exec"),
        ] {
            assert_eq!(nearest(typo, names), Some(meant), "{typo}");
        }
        assert_eq!(nearest("frobnicate", names), None);
        assert_eq!(nearest("", names), None);
    }
}
