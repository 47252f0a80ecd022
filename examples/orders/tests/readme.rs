//! What the project's README has people type.

use orders::Order;

#[test]
fn the_orders_in_the_readme_are_orders() {
    let readme = include_str!("../../../README.md");
    let typed = readme.lines().filter(|line| line.starts_with("nats pub") || line.starts_with("highwater start"));
    let mut items = Vec::new();
    for line in typed {
        let input = line.split('\'').nth(1).unwrap_or_else(|| panic!("there is no input: {line}"));
        let order: Order = serde_json::from_str(input).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.contains(&format!("{} ", order.id)), "{line}");
        items.push(order.item);
    }
    assert_eq!(items, ["lamp", "lamp"]);
}
