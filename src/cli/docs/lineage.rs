//! What is made of what, as a picture: boxes in layers, from the sources on the
//! left to HubSpot on the right.
//!
//! A box stands one layer right of the last box that it reads. Within its layer
//! it is moved towards the middle of its neighbours, a few times from left to
//! right and back, which leaves few lines to cross.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::page::{Node, anchor, escaped};

/// Width of a character of the boxes' text.
const CHARACTER: f64 = 7.3;
const BOX_HEIGHT: f64 = 26.0;
/// From one box to the next below it.
const ROW: f64 = 38.0;
/// Between two layers, for the lines.
const GAP: f64 = 48.0;
const MARGIN: f64 = 12.0;
/// Sweeps over the layers that put neighbours side by side.
const SWEEPS: usize = 8;

/// Boxes with their places.
struct Layout {
    /// By node: layer and row.
    places: Vec<(usize, f64)>,
    layers: Vec<Vec<usize>>,
}

/// The picture, or nothing where there is nothing to show. `edges` lead from a
/// node that is read to one that reads it.
pub(super) fn picture(nodes: &[Node], edges: &[(usize, usize)]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let layout = lay_out(nodes.len(), edges);
    let width = |node: usize| nodes[node].label.chars().count() as f64 * CHARACTER + 20.0;
    let widths: Vec<f64> = layout
        .layers
        .iter()
        .map(|layer| layer.iter().map(|node| width(*node)).fold(0.0, f64::max))
        .collect();
    let left = |layer: usize| MARGIN + widths[..layer].iter().map(|w| w + GAP).sum::<f64>();
    let at = |node: usize| {
        let (layer, row) = layout.places[node];
        (left(layer), MARGIN + row * ROW)
    };
    let total_width = left(widths.len()) - GAP + MARGIN;
    let lowest = layout.places.iter().map(|(_, row)| *row).fold(0.0, f64::max);
    let total_height = lowest * ROW + BOX_HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"Lineage: what is made of what\" width=\"{total_width:.0}\" \
         height=\"{total_height:.0}\" viewBox=\"0 0 {total_width:.0} {total_height:.0}\">"
    );
    for (from, to) in edges {
        let ((x, y), (to_x, to_y)) = (at(*from), at(*to));
        let (x, y, to_y) = (x + width(*from), y + BOX_HEIGHT / 2.0, to_y + BOX_HEIGHT / 2.0);
        let bend = ((to_x - x) / 2.0).max(GAP / 2.0);
        let _ = write!(
            svg,
            "<path class=\"e\" data-from=\"{from}\" data-to=\"{to}\" d=\"M{x:.1} {y:.1}C{:.1} {y:.1} {:.1} {to_y:.1} {to_x:.1} {to_y:.1}\"/>",
            x + bend,
            to_x - bend
        );
    }
    for (node, what) in nodes.iter().enumerate() {
        let (x, y) = at(node);
        let _ = write!(
            svg,
            "<a href=\"#{}\"><g class=\"b {}\" data-node=\"{node}\"><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" \
             height=\"{BOX_HEIGHT}\" rx=\"5\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g></a>",
            anchor(&what.target),
            what.class,
            width(node),
            x + 10.0,
            y + 17.5,
            escaped(&what.label)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn lay_out(nodes: usize, edges: &[(usize, usize)]) -> Layout {
    let layer_of = layers_of(nodes, edges);
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut layers = vec![Vec::new(); count];
    for (node, layer) in layer_of.iter().enumerate() {
        layers[*layer].push(node);
    }
    let mut neighbours: BTreeMap<usize, [Vec<usize>; 2]> = BTreeMap::new();
    for (from, to) in edges {
        neighbours.entry(*to).or_default()[0].push(*from);
        neighbours.entry(*from).or_default()[1].push(*to);
    }
    let tallest = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut rows = vec![0.0; nodes];
    let place = |layer: &[usize], rows: &mut [f64]| {
        let start = (tallest - layer.len()) as f64 / 2.0;
        layer.iter().enumerate().for_each(|(at, node)| rows[*node] = start + at as f64);
    };
    layers.iter().for_each(|layer| place(layer, &mut rows));
    for sweep in 0..SWEEPS {
        let side = sweep % 2;
        let order: Vec<usize> =
            if side == 0 { (0..count).collect() } else { (0..count).rev().collect() };
        for layer in order {
            let middle = |node: &usize| {
                let near = neighbours.get(node).map_or(&[][..], |sides| &sides[side]);
                match near {
                    [] => rows[*node],
                    near => near.iter().map(|other| rows[*other]).sum::<f64>() / near.len() as f64,
                }
            };
            let mut keyed: Vec<(f64, usize)> =
                layers[layer].iter().map(|node| (middle(node), *node)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            layers[layer] = keyed.into_iter().map(|(_, node)| node).collect();
            place(&layers[layer], &mut rows);
        }
    }
    Layout { places: layer_of.into_iter().zip(rows).collect(), layers }
}

/// The layer of each node: one right of the last node that it reads. A ring, which
/// no project has, would stay where it is found.
fn layers_of(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; nodes];
    for _ in 0..nodes {
        let mut moved = false;
        for (from, to) in edges {
            if layers[*to] <= layers[*from] {
                layers[*to] = layers[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stands_right_of_all_it_reads() {
        assert_eq!(layers_of(4, &[(0, 1), (1, 2), (0, 2), (2, 3)]), [0, 1, 2, 3]);
        assert_eq!(layers_of(2, &[]), [0, 0]);
    }

    #[test]
    fn neighbours_are_moved_side_by_side() {
        // 0 is read by 3 and 1 by 2: drawn in order, the lines would cross.
        let layout = lay_out(4, &[(0, 3), (1, 2)]);
        let row = |node: usize| layout.places[node].1;
        assert_eq!(row(0) < row(1), row(3) < row(2));
    }

    #[test]
    fn names_cannot_break_out_of_the_picture() {
        let node = Node { label: "a<b>".into(), target: "a\"b".into(), class: "model" };
        let svg = picture(&[node], &[]);
        assert!(svg.contains("a&lt;b&gt;") && !svg.contains("a\"b"), "{svg}");
    }
}
