//! Sorting what a configuration says. The standard library's own sort is compiled anew for each type, 4 KiB each in wasm, where
//! a proxy compiles all of it at its start: here one does for all.

use std::cmp::Ordering;

/// Sorts a few things: as [`slice::sort`], stable, in at most `n log n` comparisons.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, &T::cmp);
}

/// The same, by an order of its own.
pub fn sort_by<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let at = |a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    };
    for (a, b) in find_swaps(items.len(), &at) {
        items.swap(a, b);
    }
}

/// What is to be swapped, one after another, for things to be in order.
fn find_swaps(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|a, b| compare(*a, *b));
    let mut swaps = Vec::new();
    for start in 0..len {
        let mut to = start;
        // Each cycle of the order is walked once: what was put in its place points to itself.
        while let Some(from) = order.get_mut(to).map(|from| std::mem::replace(from, to))
            && from != start
            && from != to
        {
            swaps.push((to, from));
            to = from;
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut state = 1_u32;
        for len in (0..64).chain([1000]) {
            let next = |n: usize| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 28, n)
            };
            let items: Vec<(u32, usize)> = (0..len).map(next).collect();
            let (mut ours, mut theirs) = (items.clone(), items);
            sort_by(&mut ours, &|a, b| a.0.cmp(&b.0));
            theirs.sort_by_key(|item| item.0);
            assert_eq!(ours, theirs);
            ours.reverse();
            theirs.reverse();
            sort(&mut ours);
            theirs.sort();
            assert_eq!(ours, theirs);
        }
    }
}
