//! Refs that should not be: of unknown ids, of freed objects, of another type. Safe code gets them
//! only through types that write one thing and read another.

use mobula::ObjectId;
use mobula::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::support::{eventually, get, start, stats};

/// Is written as `W` and read as `R`.
struct Disguise<W, R> {
    written: Option<W>,
    read: Option<R>,
}

impl<W, R> Disguise<W, R> {
    fn of(written: W) -> Self {
        Disguise { written: Some(written), read: None }
    }
}

impl<W: Serialize, R> Serialize for Disguise<W, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.as_ref().unwrap().serialize(serializer)
    }
}

impl<'de, W, R: Deserialize<'de>> Deserialize<'de> for Disguise<W, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Disguise { written: None, read: Some(R::deserialize(deserializer)?) })
    }
}

/// Turns a value into one of another type with the same encoding.
fn disguised<W: Serialize, R: serde::de::DeserializeOwned>(value: W) -> mobula::Result<R> {
    let object = mobula::put(&Disguise::<W, R>::of(value))?;
    Ok(mobula::get(&object)?.read.unwrap())
}

#[mobula::test]
fn get_of_an_unknown_id_is_an_error() {
    let _runtime = start();
    for id in [ObjectId::random(), ObjectId::from_bytes([0; 16]), ObjectId::from_bytes([255; 16])] {
        let error = disguised::<_, ObjectRef<i64>>(id).unwrap_err();
        assert!(error.is_object_lost(), "{error:?}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}

#[mobula::test]
fn get_of_a_freed_id_is_an_error() {
    let _runtime = start();
    let before = stats().objects;
    let object = mobula::put(&vec![1u8; 100_000]).unwrap();
    let id = object.id();
    assert_eq!(mobula::get(&disguised::<_, ObjectRef<Vec<u8>>>(id).unwrap()).unwrap().len(), 100_000);
    drop(object);
    eventually("the object goes", || stats().objects == before);
    let error = disguised::<_, ObjectRef<Vec<u8>>>(id).unwrap_err();
    assert!(error.is_object_lost() && error.to_string().contains(&id.to_string()), "{error:?}");
}

#[mobula::test]
fn an_object_that_is_deleted_under_its_refs_stays_readable_for_them() {
    let _runtime = start();
    let object = mobula::put(&vec![3u8; 100_000]).unwrap();
    // Anybody who is attached to the store may do this.
    mobula::store::current().unwrap().delete(object.id()).unwrap();
    assert_eq!(mobula::get(&object).unwrap(), vec![3u8; 100_000]);
}

#[derive(Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

struct Reader;

#[mobula::actor]
impl Reader {
    pub fn new() -> Self {
        Reader
    }

    pub fn text(&self, text: String) -> usize {
        text.len()
    }

    pub fn floats(&self, array: Array<f64>) -> f64 {
        array.iter().sum()
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

fn is_no_value(error: &mobula::Error, name: &str) {
    assert!(error.is_invalid_argument(), "{error:?}");
    assert!(error.to_string().contains(name), "{name}: {error}");
}

#[mobula::test]
fn a_ref_of_the_wrong_type_is_an_error_that_names_it() {
    let _runtime = start();
    for size in [3, 5000] {
        let bytes = mobula::put(&vec![0xffu8; size]).unwrap();
        let points: ObjectRef<Vec<Point>> = disguised(bytes.clone()).unwrap();
        is_no_value(&mobula::get(&points).map(|_| ()).unwrap_err(), "Point");
        let text: ObjectRef<String> = disguised(bytes).unwrap();
        is_no_value(&mobula::get(&text).unwrap_err(), "String");
    }
    // Too short a type leaves bytes over.
    let number: ObjectRef<u8> = disguised(mobula::put(&(1u8, 2u8)).unwrap()).unwrap();
    is_no_value(&mobula::get(&number).unwrap_err(), "u8");
    // An array is no value, and a value no array.
    let array = Array::from_slice(&[1.0f64; 4]).unwrap();
    let value: ObjectRef<i64> = disguised(array.id()).unwrap();
    assert!(mobula::get(&value).is_err());
    let array: mobula::Result<Array<f64>> = disguised(mobula::put(&vec![1.0f64; 1000]).unwrap());
    is_no_value(&array.unwrap_err(), "f64");
}

#[mobula::test]
fn an_array_of_other_elements_is_an_error_that_names_them() {
    let _runtime = start();
    let array = Array::from_slice(&[1.0f64; 100]).unwrap();
    for error in
        [disguised::<_, Array<f32>>(array.clone()).unwrap_err(), disguised::<_, Array<i64>>(array.clone()).unwrap_err()]
    {
        is_no_value(&error, "no array of");
    }
    assert_eq!(disguised::<_, Array<f64>>(array.clone()).unwrap(), array);
    let lost = disguised::<_, Array<f64>>(ObjectId::random()).unwrap_err();
    assert!(lost.is_object_lost(), "{lost:?}");
}

#[mobula::test]
fn an_argument_of_the_wrong_type_fails_the_call_and_the_actor_lives() {
    let _runtime = start();
    let reader = Reader::remote().unwrap();
    for size in [3, 5000] {
        let bytes = mobula::put(&vec![0xffu8; size]).unwrap();
        let text: ObjectRef<String> = disguised(bytes).unwrap();
        let error = get(&reader.text(&text).remote()).unwrap_err();
        assert!(error.is_task_failed(), "{error:?}");
        assert!(error.to_string().contains("text") && error.to_string().contains("Reader::text"), "{error}");
    }
    let ints = mobula::put(&Array::from_slice(&[1i64; 100]).unwrap()).unwrap();
    let floats: ObjectRef<Array<f64>> = disguised(ints).unwrap();
    let error = get(&reader.floats(&floats).remote()).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("no array of f64"), "{error}");
    assert_eq!(get(&reader.ping().remote()).unwrap(), 1);
}

struct Other;

#[mobula::actor]
impl Other {
    pub fn new() -> Self {
        Other
    }

    pub fn first(&self) -> Vec<u64> {
        vec![7; 7]
    }

    pub fn second(&self, _text: String) -> i64 {
        2
    }
}

#[mobula::test]
fn a_handle_of_the_wrong_class_hurts_nobody() {
    let _runtime = start();
    let other = Other::remote().unwrap();
    let handle: ActorHandle<Reader> = disguised(other.clone()).unwrap();
    // The number of the method may mean another one there, and its bytes another type; whatever comes
    // of it is an answer, and the actor goes on.
    let _ = get(&handle.text("text").remote());
    let _ = get(&handle.ping().remote());
    assert_eq!(get(&other.first().remote()).unwrap(), vec![7; 7]);
}
