// What an argument may be written as.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::collections::BTreeMap;

use mobula::prelude::*;

#[derive(mobula::serde::Serialize, mobula::serde::Deserialize)]
#[serde(crate = "mobula::serde")]
struct Point {
    x: f32,
}

struct Shapes;

#[mobula::actor]
impl Shapes {
    pub fn new() -> Self {
        Shapes
    }

    pub fn numbers(&self, _a: u8, _b: i16, _c: usize, _d: f32, _e: f64) {}

    pub fn maybe(&self, value: Option<u32>) -> Option<u32> {
        value
    }

    pub fn pair(&self, pair: (i64, String)) -> (i64, String) {
        pair
    }

    pub fn text(&mut self, text: String) -> usize {
        text.len()
    }

    pub fn nothing(&self, _nothing: ()) {}

    pub fn many(&self, list: Vec<f64>, map: BTreeMap<String, [u8; 4]>, point: Point) -> Point {
        drop((list, map));
        point
    }

    // The ref itself, and refs inside a value.
    pub fn later(&self, later: ObjectRef<i64>, more: Vec<ObjectRef<i64>>) -> ObjectRef<i64> {
        drop(more);
        later
    }

    pub fn friend(&self, friend: ActorHandle<Self>) -> ActorHandle<Self> {
        friend
    }
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let shapes = Shapes::remote()?;
    let _ = shapes.numbers(1, -2, 3, 4.0, 5.0).remote();
    let maybe = shapes.maybe(None).remote();
    let _ = shapes.maybe(Some(1)).remote();
    let _ = shapes.maybe(&maybe).remote();
    let pair = shapes.pair((1, "one".to_owned())).remote();
    let _ = shapes.pair(pair).remote();
    let text = String::from("text");
    let _ = shapes.text("text").remote();
    let _ = shapes.text(&text).remote();
    let length = shapes.text(text).remote();
    let _ = shapes.numbers(1, 2, length, 4.0, 5.0).remote();
    let _ = shapes.nothing(()).remote();
    let _ = shapes.many(vec![1.0, 2.0], BTreeMap::new(), Point { x: 1.0 }).remote();
    let number: ObjectRef<i64> = half::remote(4);
    let inner: ObjectRef<ObjectRef<i64>> = shapes.later(&number, vec![number.clone()]).remote();
    let _ = shapes.later(inner, vec![]).remote();
    let _: ObjectRef<ActorHandle<Shapes>> = shapes.friend(&shapes).remote();
    let _ = shapes.friend(shapes.clone()).remote();
    Ok(())
}

#[mobula::task]
fn half(x: i64) -> i64 {
    x / 2
}

fn main() {}
