//! Several trained systems judged together (ours): each member's score in deviations from what is usual on its own normal
//! footage, averaged by weights; its heat map likewise.
//!
//! What a member says of a frame that none of its windows could score is that of the nearest one that it did, as in its
//! own runs, and counts as any other; a frame is an edge frame of the combination only where it is one of every member
//! that has weight.
//!
//! Read on: `blend` (the average of one frame) → `score` (the model and its stream).

mod blend;
mod score;

pub use blend::{Blend, Standard, Weights};
pub use score::{Combination, CombinedScorer, Feed};

/// Names of members, later ones of the same name numbered: `ae3d`, `ae3d (2)`.
pub fn numbered<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen: Vec<&str> = Vec::new();
    let name = |name: &'a str| {
        seen.push(name);
        match seen.iter().filter(|other| **other == name).count() {
            1 => name.to_owned(),
            count => format!("{name} ({count})"),
        }
    };
    names.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn members_of_one_system_are_numbered() {
        assert_eq!(
            super::numbered(["ae3d", "itae", "ae3d", "ae3d"]),
            ["ae3d", "itae", "ae3d (2)", "ae3d (3)"]
        );
    }
}
