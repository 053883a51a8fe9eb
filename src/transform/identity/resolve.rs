//! From edges to components, leaving out what joins too much.

use std::collections::BTreeMap;

use petgraph::unionfind::UnionFind;

use super::config::IdentityConfig;
use super::graph::{Edge, Graph};

/// Why an edge joins nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// A rule of the settings.
    Rule,
    /// More records share the identifier than may.
    Degree,
    /// It would make a cluster too large.
    ClusterSize,
}

/// Which records belong together.
#[derive(Debug)]
pub(super) struct Resolution {
    /// By record: the first record, in order of names, of its component.
    pub(super) component: Vec<u32>,
    /// The edges that count, by identifier and record.
    pub(super) live: Vec<Edge>,
    /// The edges that do not, why, and how many records the identifier has.
    pub(super) excluded: Vec<(Edge, Reason, usize)>,
}

impl Resolution {
    /// Resolves a sorted graph.
    pub(super) fn new(graph: &Graph, config: &IdentityConfig) -> Self {
        let mut groups = Groups::new(graph);
        let mut excluded = Vec::new();
        groups.exclude(Reason::Rule, &mut excluded, |identifier, _| {
            let (kind, value) = graph.identifier(identifier);
            config.rule_against(kind, value).is_some()
        });
        groups.exclude(Reason::Degree, &mut excluded, |_, edges| edges.len() > config.max_degree);
        let component = loop {
            let component = groups.components(graph.records());
            let worst = groups.worst(&component, config.max_cluster);
            if worst.is_empty() {
                break component;
            }
            groups.exclude(Reason::ClusterSize, &mut excluded, |_, edges| {
                worst.get(&component[edges[0].record as usize]) == Some(&edges.len())
            });
        };
        excluded.sort_unstable();
        Self { component, live: groups.edges, excluded }
    }
}

/// Edges in groups of one identifier.
struct Groups {
    edges: Vec<Edge>,
}

impl Groups {
    fn new(graph: &Graph) -> Self {
        let mut edges = graph.edges.clone();
        edges.sort_unstable_by_key(|edge| (edge.identifier, edge.record));
        Self { edges }
    }

    fn iter(&self) -> impl Iterator<Item = &[Edge]> {
        self.edges.chunk_by(|a, b| a.identifier == b.identifier)
    }

    /// Takes the edges of some identifiers out.
    fn exclude(
        &mut self,
        reason: Reason,
        excluded: &mut Vec<(Edge, Reason, usize)>,
        is_out: impl Fn(u32, &[Edge]) -> bool,
    ) {
        let mut kept = Vec::with_capacity(self.edges.len());
        for group in self.iter() {
            match is_out(group[0].identifier, group) {
                true => excluded.extend(group.iter().map(|edge| (*edge, reason, group.len()))),
                false => kept.extend_from_slice(group),
            }
        }
        self.edges = kept;
    }

    /// By record: the first record of its component.
    fn components(&self, records: usize) -> Vec<u32> {
        let mut sets = UnionFind::<u32>::new(records);
        for group in self.iter() {
            for pair in group.windows(2) {
                sets.union(pair[0].record, pair[1].record);
            }
        }
        let roots = sets.into_labeling();
        let mut first = vec![u32::MAX; records];
        for (record, root) in (0u32..).zip(&roots) {
            let first = &mut first[*root as usize];
            *first = record.min(*first);
        }
        roots.into_iter().map(|root| first[root as usize]).collect()
    }

    /// The components that are too large, each with the most records that one
    /// of its identifiers has. Identifiers of one record join nothing, and a
    /// component of more records has others.
    fn worst(&self, component: &[u32], max_cluster: usize) -> BTreeMap<u32, usize> {
        let mut sizes = vec![0usize; component.len()];
        for first in component {
            sizes[*first as usize] += 1;
        }
        let mut worst = BTreeMap::new();
        for group in self.iter() {
            let first = component[group[0].record as usize];
            if sizes[first as usize] > max_cluster {
                let most = worst.entry(first).or_insert(0);
                *most = group.len().max(*most);
            }
        }
        worst
    }
}
