//! Segments with a name.

use std::path::PathBuf;

use mobula_store::{Segment, Store, StoreOptions};

use crate::id;

#[test]
fn a_named_store_is_found_by_name_and_its_name_goes_with_it() {
    let name = format!("mobula-test-{}", std::process::id());
    let options = || StoreOptions::new(1 << 20).segment(Segment::Named(name.clone()));
    let shm = PathBuf::from("/dev/shm").join(&name);
    let store = Store::create(options()).unwrap();
    assert_eq!(store.address(), format!("name:{name}"));
    assert!(shm.exists());
    let other = Store::attach(format!("name:{name}")).unwrap();
    store.put(id(1), b"by name").unwrap();
    assert_eq!(&other.get(id(1), None).unwrap()[..], b"by name");
    assert!(Store::create(options()).unwrap_err().is_address_in_use());
    drop((store, other));
    assert!(!shm.exists());
    std::fs::write(&shm, "left over by a killed process").unwrap();
    std::fs::write(shm.with_extension("ctl"), "and its other half").unwrap();
    drop(Store::create(options()).unwrap());
    assert!(!shm.exists());
    for bad in ["", "a/b", ".hidden", "with space"] {
        let options = StoreOptions::new(1 << 20).segment(Segment::Named(bad.to_owned()));
        assert!(Store::create(options).unwrap_err().is_invalid_argument());
    }
}

#[test]
fn a_name_belongs_to_one_living_store_whatever_its_address() {
    let name = format!("mobula-test-two-{}", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let options = |socket: &str| {
        let address = folder.path().join(socket).to_string_lossy().into_owned();
        StoreOptions::new(1 << 20).segment(Segment::Named(name.clone())).address(address)
    };
    let first = Store::create(options("first")).unwrap();
    assert!(Store::create(options("second")).unwrap_err().is_address_in_use());
    first.put(id(1), b"kept").unwrap();
    drop(first);
    Store::create(options("second")).unwrap();
}
