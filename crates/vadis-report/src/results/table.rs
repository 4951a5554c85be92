//! The table of one data set.

use vadis_eval::run::{DatasetSanity, Figure, ResultRow, Results};

/// Columns whatever was measured; the first are words, the others numbers.
const COLUMNS: [&str; 12] = [
    "system",
    "preset, seeds",
    "AUC, paper",
    "AUC, causal",
    "EER",
    "AP",
    "false alarm, min/h",
    "published",
    "training",
    "frames/s",
    "peak MiB",
    "test looks",
];
/// Columns of words.
pub(super) const WORDS: usize = 2;
/// Columns where masks exist, before the published figure.
const REGIONS: [(&str, &str); 2] = [("RBDC", "rbdc"), ("TBDC", "tbdc")];
/// Where the columns of regions begin.
const REGIONS_AT: usize = 7;
/// Where there is nothing to say.
const NOTHING: &str = "–";

/// Runs of one system and configuration, whatever the seed.
pub(super) struct Group<'a>(Vec<&'a ResultRow>);

/// One data set's groups, in the order they were measured, and what needs no learning.
pub(super) struct Section<'a> {
    pub(super) dataset: &'a str,
    pub(super) groups: Vec<Group<'a>>,
    sanity: Option<&'a DatasetSanity>,
}

/// Data sets in the order they were measured.
pub(super) fn sections(results: &Results) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for row in &results.rows {
        let place = sections.iter().position(|s| s.dataset == row.dataset);
        let place = place.unwrap_or_else(|| {
            let sanity = results.sanity.iter().find(|s| s.dataset == row.dataset);
            sections.push(Section { dataset: &row.dataset, groups: Vec::new(), sanity });
            sections.len() - 1
        });
        let groups = &mut sections[place].groups;
        let same =
            |Group(rows): &&mut Group<'_>| (&rows[0].system, &rows[0].config) == (&row.system, &row.config);
        match groups.iter_mut().find(same) {
            Some(Group(rows)) => rows.push(row),
            None => groups.push(Group(vec![row])),
        }
    }
    sections
}

impl Group<'_> {
    pub(super) fn name(&self) -> &str {
        &self.0[0].system
    }

    /// A part or variant of the run whose row stands above: `itae-nf: flows alone`.
    pub(super) fn is_part(&self) -> bool {
        self.name().contains(": ")
    }

    fn figures(&self, metric: &str, protocol: &str) -> Vec<&Figure> {
        self.0.iter().filter_map(|row| row.figure(metric, protocol)).collect()
    }

    /// Mean over the seeds, and the ends of what stands beside it: one seed's interval, several seeds' range.
    pub(super) fn value(&self, metric: &str, protocol: &str) -> Option<(f64, Option<[f64; 2]>)> {
        match self.figures(metric, protocol).as_slice() {
            [] => None,
            [one] => Some((one.value, one.low.zip(one.high).map(|(low, high)| [low, high]))),
            several => {
                let values = several.iter().map(|f| f.value);
                let mean = values.clone().sum::<f64>() / several.len() as f64;
                let ends = values.fold([f64::MAX, f64::MIN], |[a, b], v| [a.min(v), b.max(v)]);
                Some((mean, Some(ends)))
            }
        }
    }

    /// AUC of one kind of anomaly under the protocol `paper`, the mean over the seeds.
    fn of_kind(&self, kind: &str) -> Option<f64> {
        let figures = self.0.iter().flat_map(|row| &row.kinds);
        let wanted = figures.filter(|figure| figure.kind == kind && figure.protocol == "paper");
        let values: Vec<f64> = wanted.filter_map(|figure| figure.auc).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// As the first column has it.
    fn shown_name(&self) -> String {
        match self.name().split_once(": ") {
            Some((_, part)) => format!("– {part}"),
            None => self.name().to_owned(),
        }
    }

    pub(super) fn tuned_on_test(&self) -> bool {
        self.figures("micro_auc", "paper").iter().any(|figure| figure.protocol.tuned_on_test)
    }

    pub(super) fn published(&self, metric: &str) -> Option<f64> {
        self.0[0].published.iter().find(|p| p.metric == metric).map(|p| p.value)
    }

    fn mean(&self, value: fn(&ResultRow) -> f64) -> f64 {
        self.0.iter().map(|row| value(row)).sum::<f64>() / self.0.len() as f64
    }

    /// `0.812 [0.777–0.841]` for one seed, `0.812 (0.810–0.815)` for several.
    fn auc(&self, protocol: &str) -> String {
        let tuned = if self.tuned_on_test() { ", tuned on test" } else { "" };
        match self.value("micro_auc", protocol) {
            None => NOTHING.to_owned(),
            Some((value, None)) => share(value) + tuned,
            Some((value, Some([low, high]))) if self.0.len() == 1 => {
                format!("{} [{}–{}]{tuned}", share(value), share(low), share(high))
            }
            Some((value, Some([low, high]))) => {
                format!("{} ({}–{}){tuned}", share(value), share(low), share(high))
            }
        }
    }

    fn cells(&self, with_regions: bool) -> Vec<String> {
        let first = self.0[0];
        let seeds: Vec<String> = self.0.iter().map(|row| row.seed.to_string()).collect();
        let of = |metric: &str| self.value(metric, "paper").map_or_else(nothing, |(value, _)| share(value));
        let alarms = self.value("fpr_at_90_recall", "causal");
        let peak = self.0.iter().filter_map(|row| row.peak_mib).max_by(f64::total_cmp);
        let looks = self.0.iter().map(|row| row.test_looks).max().filter(|looks| *looks > 0);
        let mut cells = vec![
            self.shown_name(),
            format!("{}, {}", first.preset, seeds.join(" ")),
            self.auc("paper"),
            self.auc("causal"),
            of("eer"),
            of("ap"),
            alarms.map_or_else(nothing, |(share, _)| format!("{:.1}", 60.0 * share)),
            self.published("micro_auc").map_or_else(nothing, share),
            seconds(self.mean(|row| row.train_s)),
            format!("{:.1}", self.mean(|row| row.frames_per_s)),
            peak.map_or_else(nothing, |peak| format!("{peak:.0}")),
            looks.map_or_else(nothing, |looks| looks.to_string()),
        ];
        if self.is_part() {
            // It is the run of the row above.
            cells[1].clear();
            cells[8..].iter_mut().for_each(String::clear);
        }
        let regions = REGIONS.iter().filter(|_| with_regions).map(|(_, metric)| of(metric));
        let regions: Vec<String> = regions.collect();
        cells.splice(REGIONS_AT..REGIONS_AT, regions);
        cells
    }
}

impl Section<'_> {
    fn has_regions(&self) -> bool {
        self.groups.iter().any(|group| group.value(REGIONS[0].1, "paper").is_some())
    }

    pub(super) fn columns(&self) -> Vec<&'static str> {
        let mut columns = COLUMNS.to_vec();
        if self.has_regions() {
            columns.splice(REGIONS_AT..REGIONS_AT, REGIONS.map(|(name, _)| name));
        }
        columns
    }

    /// A line a group, then those that need no learning.
    pub(super) fn cells(&self) -> Vec<Vec<String>> {
        let with_regions = self.has_regions();
        let learnt = self.groups.iter().map(|group| group.cells(with_regions));
        let columns = self.columns().len();
        let unlearnt = self.sanity.iter().flat_map(|sanity| &sanity.rows).map(|row| {
            let mut cells = vec![NOTHING.to_owned(); columns];
            row.name.clone_into(&mut cells[0]);
            cells[2] = row.micro_auc.map_or_else(nothing, share);
            cells[4] = row.eer.map_or_else(nothing, share);
            cells
        });
        learnt.chain(unlearnt).collect()
    }

    /// Who finds which kind of anomaly: the columns, and a line a group; none where kinds are not known.
    pub(super) fn by_kind(&self) -> Option<(Vec<&str>, Vec<Vec<String>>)> {
        let mut kinds: Vec<&str> = Vec::new();
        for figure in self.groups.iter().flat_map(|group| &group.0).flat_map(|row| &row.kinds) {
            if !kinds.contains(&figure.kind.as_str()) {
                kinds.push(&figure.kind);
            }
        }
        let known = |group: &&Group<'_>| kinds.iter().any(|kind| group.of_kind(kind).is_some());
        let line = |group: &Group<'_>| {
            let values = kinds.iter().map(|kind| group.of_kind(kind).map_or_else(nothing, share));
            std::iter::once(group.shown_name()).chain(values).collect()
        };
        let lines: Vec<Vec<String>> = self.groups.iter().filter(known).map(line).collect();
        let columns = std::iter::once("AUC by kind, paper").chain(kinds.iter().copied()).collect();
        (!lines.is_empty()).then_some((columns, lines))
    }

    /// What a reader must know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "One seed: the AUC with its 95 % interval, by resampling videos (minutes where there is one video); several \
             seeds: their mean and range. Causal is what a live camera can have: nothing of the footage to come beyond \
             the declared delay. EER, AP and regions are under the protocol paper; the minutes of false alarm in \
             an hour of normal footage, at the threshold that finds 90 % of the abnormal frames, are causal."
                .to_owned(),
        ];
        let rows = || self.groups.iter().map(|group| group.0[0]);
        notes.extend(said_of(rows().filter_map(|row| {
            let p = &row.figure("micro_auc", "paper")?.protocol;
            let how = format!(
                "Protocol paper, normalisation {}, smoothing {}, edges {}, of the column",
                p.normalisation, p.smoothing, p.edges
            );
            Some((how, format!("{} ({})", row.system, p.score)))
        })));
        let learnt = rows().filter(|row| !row.system.contains(": "));
        notes.extend(said_of(
            learnt.map(|row| (format!("Learnt from {}", row.learnt_from), row.system.clone())),
        ));
        notes.extend(said_of(rows().flat_map(|row| {
            row.published.iter().filter(|p| p.metric == "micro_auc").map(|p| {
                let eer = row.published.iter().find(|p| p.metric == "eer");
                let eer = eer.map_or_else(String::new, |eer| format!(" (EER {})", share(eer.value)));
                (format!("Published: {}", p.source), row.system.clone() + &eer)
            })
        })));
        if self.dataset.contains("-validation") {
            notes.push(
                "Anomalies inserted into held-out training footage; no test label was looked at.".to_owned(),
            );
        }
        if self.by_kind().is_some() {
            notes.push("AUC by kind: frames that show that kind against all normal frames.".to_owned());
        }
        if let Some(sanity) = self.sanity {
            let names: Vec<&str> = sanity.rows.iter().map(|row| row.name.as_str()).collect();
            notes.push(format!(
                "Nothing is learnt for {}; smoothing {}.",
                names.join(", "),
                sanity.smoothing
            ));
        }
        notes
    }
}

/// One sentence for all of whom the same is said, in the order of the first: `what: who, who.`
fn said_of(said: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut sentences: Vec<(String, Vec<String>)> = Vec::new();
    for (what, who) in said {
        match sentences.iter_mut().find(|(other, _)| *other == what) {
            Some((_, all)) => all.push(who),
            None => sentences.push((what, vec![who])),
        }
    }
    sentences.into_iter().map(|(what, who)| format!("{what}: {}.", who.join(", "))).collect()
}

fn nothing() -> String {
    NOTHING.to_owned()
}

fn share(value: f64) -> String {
    format!("{value:.3}")
}

fn seconds(s: f64) -> String {
    if s < 90.0 { format!("{s:.0} s") } else { format!("{:.1} min", s / 60.0) }
}
