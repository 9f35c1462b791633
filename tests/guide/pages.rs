//! Every Rust block of a page stands, line by line, in the module of the same name: so it compiles and runs.

use std::fs;
use std::path::Path;

/// Returns the Rust blocks of a page with the number of the line before them.
fn blocks(page: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut current: Option<(usize, Vec<&str>)> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut current, line) {
            (None, "```rust") => current = Some((number + 1, Vec::new())),
            (Some(_), "```") => blocks.extend(current.take()),
            (Some((_, block)), line) => block.push(line),
            (None, _) => {}
        }
    }
    blocks
}

/// Returns true if `source` holds the block somewhere, all of it indented alike.
fn holds(source: &[&str], block: &[&str]) -> bool {
    source.windows(block.len()).any(|lines| {
        let indent = lines[0].len() - lines[0].trim_start().len();
        lines.iter().zip(block).all(|(line, wanted)| line.get(indent..).unwrap_or_default() == *wanted)
    })
}

#[test]
fn every_snippet_is_one_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().replace('-', "_");
        let source = fs::read_to_string(root.join(format!("tests/guide/{name}.rs"))).unwrap_or_default();
        let source: Vec<_> = source.lines().collect();
        for (line, block) in blocks(&page) {
            assert!(!block.is_empty() && holds(&source, &block), "{}:{line}: no test has this snippet", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} snippets");
}

#[test]
fn every_page_is_in_the_index_and_every_link_leads_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = fs::read_to_string(docs.join("README.md")).unwrap();
    for entry in fs::read_dir(&docs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in docs/README.md");
        let page = fs::read_to_string(&path).unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.starts_with("http") && !file.is_empty() {
                assert!(docs.join(file).exists(), "{name} links to {link}");
            }
        }
    }
}
