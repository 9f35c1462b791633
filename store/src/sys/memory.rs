//! Shared memory files and their mappings.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, FlockOperation, MemfdFlags, Mode, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, flock,
    memfd_create,
};
use rustix::io::retry_on_intr;

/// Makes anonymous shared memory of `len` bytes whose size can never change again.
///
/// The kernel frees it when the last process that maps or holds it is gone, however that ends.
pub(crate) fn anonymous(name: &str, len: usize) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(rustix::io::Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let file = File::from(fd);
    file.set_len(len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file)
}

/// Says whether nobody can change the length of an anonymous file any more.
pub(crate) fn has_fixed_length(file: impl AsFd) -> bool {
    let needed = SealFlags::SHRINK | SealFlags::GROW;
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(needed))
}

/// Opens named shared memory that exists; read and write.
pub(crate) fn open_named(name: &str) -> io::Result<File> {
    let fd = rustix::shm::open(name, rustix::shm::OFlags::RDWR, Mode::empty())?;
    Ok(File::from(fd))
}

/// Maps all of a file for reading and writing, shared.
pub(crate) fn map(file: &File, len: usize) -> io::Result<MmapRaw> {
    let map = MmapOptions::new().len(len).map_raw(file)?;
    advise(&map);
    Ok(map)
}

/// Maps all of a file for reading, shared; the kernel refuses every write through it.
pub(crate) fn map_read_only(file: &File, len: usize) -> io::Result<MmapRaw> {
    let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
    advise(&map);
    Ok(map)
}

/// Keeps shared memory out of core dumps; a kernel that cannot is no reason to fail.
fn advise(map: &MmapRaw) {
    let _ = map.advise(memmap2::Advice::DontDump);
}

/// Commits a range: afterwards touching it can never fail for want of memory (ST-6).
pub(crate) fn commit(file: impl AsFd, offset: usize, len: usize) -> io::Result<()> {
    Ok(retry_on_intr(|| fallocate(&file, FallocateFlags::KEEP_SIZE, offset as u64, len as u64))?)
}

/// Gives the memory of a range back; it reads as zeros afterwards.
pub(crate) fn decommit(file: impl AsFd, offset: usize, len: usize) -> io::Result<()> {
    let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
    Ok(retry_on_intr(|| fallocate(&file, flags, offset as u64, len as u64))?)
}

/// Returns how many bytes of a file are committed.
pub(crate) fn committed(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |m| m.blocks() * 512)
}

/// Faults a mapped range in ahead of use; best effort.
pub(crate) fn populate(map: &MmapRaw, offset: usize, len: usize) {
    let _ = map.advise_range(memmap2::Advice::PopulateWrite, offset, len);
}

/// Locks a file or folder against others who lock it, until the descriptor is closed; false if somebody has.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &std::path::Path) {
    let _ = fs::remove_file(path);
}
