//! The simulated machine: what its processes see, what its medium holds, and the changes that
//! lie between.
//!
//! - `live` is what processes see, `durable` what a power cut cannot take.
//! - `pending` lists what was changed since the last sync, oldest first. While no sync has
//!   failed, `durable` with all of `pending` applied is `live`; a failed sync breaks this for
//!   good: it empties `pending` though not everything reached `durable`.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;

use super::crash::{Change, ChangeKind, CrashPattern, Fates};
use super::fault::{Fault, Operation, Target, Trigger};
use super::image::Image;
use super::random::Random;

/// The largest file, as on common file systems with 4-KiB blocks: 16 TiB.
const MAX_LEN: u64 = 1 << 44;

/// One file, whatever its names are.
#[derive(Clone, Default)]
struct Inode {
    live: Image,
    durable: Image,
    pending: Vec<Change>,
    /// Open handles.
    handles: u64,
}

/// A change of a name that no directory sync has covered yet.
#[derive(Clone)]
struct NameChange {
    moment: u64,
    kind: NameChangeKind,
}

#[derive(Clone)]
enum NameChangeKind {
    Create { name: String, id: u64 },
    Rename { from: String, to: String, id: u64 },
    Remove { name: String, id: u64 },
}

impl NameChange {
    /// Applies the change to a directory in which earlier changes may be missing.
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match &self.kind {
            NameChangeKind::Create { name, id } => {
                names.insert(name.clone(), *id);
            }
            NameChangeKind::Rename { from, to, id } => {
                if names.get(from) == Some(id) {
                    names.remove(from);
                }
                names.insert(to.clone(), *id);
            }
            NameChangeKind::Remove { name, id } => {
                if names.get(name) == Some(id) {
                    names.remove(name);
                }
            }
        }
    }
}

pub(super) struct State {
    pub(super) seed: u64,
    pub(super) triggers: Vec<Trigger>,
    pub(super) counts: [u64; Operation::ALL.len()],
    pub(super) capacity: Option<u64>,
    /// Files can reserve space.
    pub(super) reserving: bool,
    /// The power is off: every call fails.
    pub(super) off: bool,
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    /// Name of a lock file -> holders, or `u64::MAX` for an exclusive one.
    locks: BTreeMap<String, u64>,
    next_id: u64,
    next_moment: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            seed,
            triggers: Vec::new(),
            counts: [0; Operation::ALL.len()],
            capacity: None,
            reserving: true,
            off: false,
            random: Random::new(seed),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: BTreeMap::new(),
            next_id: 0,
            next_moment: 0,
        }
    }

    // --- disasters -------------------------------------------------------------------------

    pub(super) fn kill(&self) -> State {
        let mut next = State {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending_names: self.pending_names.clone(),
            capacity: self.capacity,
            reserving: self.reserving,
            next_id: self.next_id,
            next_moment: self.next_moment,
            ..State::new(self.seed)
        };
        // A new stream: otherwise two lives of one database would draw the same entropy.
        next.random = Random::new(self.seed ^ self.random.clone().next());
        for inode in next.inodes.values_mut() {
            inode.handles = 0;
        }
        next.forget_unreachable();
        next
    }

    pub(super) fn crash(&self, seed: u64, pattern: CrashPattern) -> State {
        let of_names = self.pending_names.iter().map(|c| c.moment);
        let of_files = self.inodes.values().flat_map(|i| i.pending.iter().map(|c| c.moment));
        let first = of_names.chain(of_files).min().unwrap_or(self.next_moment);
        let mut fates = Fates::new(pattern, seed, first, self.next_moment);
        let mut next = self.kill();
        next.seed = seed;
        next.random = Random::new(seed ^ 0x005E_ED0F_5A17);
        for change in std::mem::take(&mut next.pending_names) {
            if fates.keeps_name(change.moment) {
                change.apply(&mut next.durable_names);
            }
        }
        next.names = next.durable_names.clone();
        next.forget_unreachable();
        for inode in next.inodes.values_mut() {
            for change in std::mem::take(&mut inode.pending) {
                fates.apply(&change, &mut inode.durable);
            }
            inode.live = inode.durable.clone();
        }
        next
    }

    /// Drops files that no name, no pending change of a name and no handle leads to.
    fn forget_unreachable(&mut self) {
        let pending = self.pending_names.iter().map(|change| match change.kind {
            NameChangeKind::Create { id, .. }
            | NameChangeKind::Rename { id, .. }
            | NameChangeKind::Remove { id, .. } => id,
        });
        let named: std::collections::BTreeSet<u64> = pending
            .chain(self.names.values().copied())
            .chain(self.durable_names.values().copied())
            .collect();
        self.inodes.retain(|id, inode| inode.handles > 0 || named.contains(id));
    }

    // --- inspection and damage -------------------------------------------------------------

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn count(&self, target: Target) -> u64 {
        let counted = Operation::ALL.iter().zip(self.counts);
        let covered = counted.filter(|(operation, _)| match target {
            Target::Named(only, _) => only == **operation,
            target => target.covers(**operation, ""),
        });
        covered.map(|(_, count)| count).sum()
    }

    pub(super) fn used(&self) -> u64 {
        let named: std::collections::BTreeSet<u64> = self.names.values().copied().collect();
        let counted =
            self.inodes.iter().filter(|(id, inode)| inode.handles > 0 || named.contains(id));
        counted.map(|(_, inode)| inode.live.taken()).sum()
    }

    pub(super) fn open_handles(&self) -> u64 {
        self.inodes.values().map(|inode| inode.handles).sum()
    }

    pub(super) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.names.get(name).map(|id| self.inodes[id].live.to_vec())
    }

    pub(super) fn durable_contents(&self, name: &str) -> Option<Vec<u8>> {
        self.durable_names.get(name).map(|id| self.inodes[id].durable.to_vec())
    }

    pub(super) fn put(&mut self, name: &str, content: Option<&[u8]>) {
        for change in std::mem::take(&mut self.pending_names) {
            change.apply(&mut self.durable_names);
        }
        self.names.remove(name);
        self.durable_names.remove(name);
        if let Some(content) = content {
            let mut image = Image::default();
            image.write(0, content);
            let id = self.add_inode();
            let inode = self.inodes.entry(id).or_default();
            inode.live = image.clone();
            inode.durable = image;
            self.names.insert(name.to_owned(), id);
            self.durable_names.insert(name.to_owned(), id);
        }
        self.forget_unreachable();
    }

    pub(super) fn flip(&mut self, name: &str, byte: u64, bit: u8) {
        assert!(bit < 8, "a byte has bits 0 to 7, not {bit}");
        let id = *self.names.get(name).unwrap_or_else(|| panic!("there is no file {name}"));
        let inode = self.inodes.get_mut(&id).expect("every name leads to a file");
        assert!(byte < inode.live.len(), "{name} ends before byte {byte}");
        for image in [&mut inode.live, &mut inode.durable] {
            let mut value = [0];
            if image.read(&mut value, byte) == 1 {
                image.write(byte, &[value[0] ^ (1 << bit)]);
            }
        }
    }

    // --- the calls -------------------------------------------------------------------------

    /// Counts a call and finds the fault that strikes it.
    fn begin(&mut self, operation: Operation, name: &str) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(Fault::PowerCut.error());
        }
        self.counts[operation as usize] += 1;
        let mut struck = None;
        for trigger in &mut self.triggers {
            if trigger.strikes(operation, name) && struck.is_none() {
                struck = Some(trigger.fault);
            }
        }
        self.off = struck == Some(Fault::PowerCut);
        Ok(struck)
    }

    /// [`State::begin`] for a call that does all or, on an error, nothing. `true`: do it, then
    /// fail, since the power went.
    fn begin_whole(&mut self, operation: Operation, name: &str) -> io::Result<bool> {
        match self.begin(operation, name)? {
            None => Ok(false),
            Some(Fault::PowerCut) => Ok(true),
            Some(fault) => Err(fault.error()),
        }
    }

    fn end(power_cut: bool) -> io::Result<()> {
        if power_cut { Err(Fault::PowerCut.error()) } else { Ok(()) }
    }

    /// For a call that changes nothing.
    fn begin_reading(&mut self, operation: Operation, name: &str) -> io::Result<()> {
        Self::end(self.begin_whole(operation, name)?)
    }

    fn add_inode(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.inodes.insert(id, Inode::default());
        id
    }

    fn moment(&mut self) -> u64 {
        self.next_moment += 1;
        self.next_moment - 1
    }

    fn inode(&mut self, id: u64) -> &mut Inode {
        self.inodes.get_mut(&id).expect("a file lives as long as its handles")
    }

    fn change_name(&mut self, kind: NameChangeKind) {
        let change = NameChange { moment: self.moment(), kind };
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<u64> {
        let power_cut = self.begin_whole(Operation::Create, name)?;
        if self.names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        let id = self.add_inode();
        self.change_name(NameChangeKind::Create { name: name.to_owned(), id });
        Self::end(power_cut)?;
        self.inode(id).handles += 1;
        Ok(id)
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<u64> {
        self.begin_reading(Operation::Open, name)?;
        let id = *self.names.get(name).ok_or(Errno::NOENT)?;
        self.inode(id).handles += 1;
        Ok(id)
    }

    pub(super) fn close(&mut self, id: u64) {
        self.inode(id).handles -= 1;
        self.forget_unreachable();
    }

    pub(super) fn list(&mut self) -> io::Result<Vec<String>> {
        self.begin_reading(Operation::List, "")?;
        Ok(self.names())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let power_cut = self.begin_whole(Operation::Rename, from)?;
        let id = *self.names.get(from).ok_or(Errno::NOENT)?;
        if from != to {
            let (from, to) = (from.to_owned(), to.to_owned());
            self.change_name(NameChangeKind::Rename { from, to, id });
        }
        Self::end(power_cut)
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let power_cut = self.begin_whole(Operation::Remove, name)?;
        let id = *self.names.get(name).ok_or(Errno::NOENT)?;
        self.change_name(NameChangeKind::Remove { name: name.to_owned(), id });
        self.forget_unreachable();
        Self::end(power_cut)
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        match self.begin(Operation::SyncDir, "")? {
            None => {
                for change in std::mem::take(&mut self.pending_names) {
                    change.apply(&mut self.durable_names);
                }
                self.forget_unreachable();
                Ok(())
            }
            // Whatever the power cut keeps of the pending changes is what the sync achieved.
            Some(Fault::PowerCut) => Err(Fault::PowerCut.error()),
            Some(fault) => {
                let mut fates = self.fates_of_failed_sync();
                for change in std::mem::take(&mut self.pending_names) {
                    if fates.keeps_name(change.moment) {
                        change.apply(&mut self.durable_names);
                    }
                }
                Err(fault.error())
            }
        }
    }

    fn fates_of_failed_sync(&mut self) -> Fates {
        let seed = self.random.next();
        Fates::new(CrashPattern::Mixed, seed, 0, self.next_moment)
    }

    pub(super) fn lock(&mut self, name: &str, exclusive: bool) -> io::Result<bool> {
        self.begin_reading(Operation::Lock, name)?;
        if !self.names.contains_key(name) {
            if !exclusive {
                return Err(Errno::NOENT.into());
            }
            let id = self.add_inode();
            self.change_name(NameChangeKind::Create { name: name.to_owned(), id });
        }
        let holders = self.locks.entry(name.to_owned()).or_default();
        match (*holders, exclusive) {
            (0, true) => *holders = u64::MAX,
            (u64::MAX, _) | (_, true) => return Ok(false),
            (_, false) => *holders += 1,
        }
        Ok(true)
    }

    pub(super) fn unlock(&mut self, name: &str, exclusive: bool) {
        if let Some(holders) = self.locks.get_mut(name) {
            *holders = if exclusive { 0 } else { *holders - 1 };
        }
    }

    pub(super) fn entropy(&mut self) -> io::Result<[u8; 32]> {
        self.begin_reading(Operation::Entropy, "")?;
        let mut bytes = [0; 32];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.random.next().to_le_bytes());
        }
        Ok(bytes)
    }

    pub(super) fn len(&mut self, id: u64, name: &str) -> io::Result<u64> {
        self.begin_reading(Operation::Len, name)?;
        Ok(self.inode(id).live.len())
    }

    pub(super) fn set_len(&mut self, id: u64, name: &str, len: u64) -> io::Result<()> {
        let power_cut = self.begin_whole(Operation::SetLen, name)?;
        if len > MAX_LEN {
            return Err(Errno::FBIG.into());
        }
        let moment = self.moment();
        let inode = self.inode(id);
        inode.live.set_len(len);
        inode.pending.push(Change { moment, kind: ChangeKind::SetLen(len) });
        Self::end(power_cut)
    }

    pub(super) fn allocate(
        &mut self,
        id: u64,
        name: &str,
        offset: u64,
        len: u64,
    ) -> io::Result<bool> {
        let power_cut = self.begin_whole(Operation::Allocate, name)?;
        let reserving = self.reserving;
        if len == 0 {
            return Self::end(power_cut).map(|()| reserving);
        }
        let end = offset.checked_add(len).filter(|&end| end <= MAX_LEN);
        end.ok_or(Errno::FBIG)?;
        if reserving && self.room() < self.inode(id).live.missing(offset, len) {
            return Err(Errno::NOSPC.into());
        }
        let moment = self.moment();
        let inode = self.inode(id);
        if reserving {
            inode.live.reserve(offset, len);
            inode.pending.push(Change { moment, kind: ChangeKind::Reserve { offset, len } });
        } else if inode.live.len() < offset + len {
            let kind = ChangeKind::SetLen(offset + len);
            inode.live.set_len(offset + len);
            inode.pending.push(Change { moment, kind });
        }
        Self::end(power_cut).map(|()| reserving)
    }

    /// Bytes of space that are still free.
    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn read(
        &mut self,
        id: u64,
        name: &str,
        buf: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let wanted = match self.begin(Operation::Read, name)? {
            None => buf.len(),
            Some(Fault::Short) => buf.len().div_ceil(2),
            Some(fault) => return Err(fault.error()),
        };
        Ok(self.inode(id).live.read(&mut buf[..wanted], offset))
    }

    pub(super) fn write(
        &mut self,
        id: u64,
        name: &str,
        bufs: &[io::IoSlice<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        let fault = self.begin(Operation::Write, name)?;
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= MAX_LEN);
        end.ok_or(Errno::FBIG)?;
        match fault {
            None | Some(Fault::PowerCut) => {}
            Some(Fault::Short) => bytes.truncate(bytes.len().div_ceil(2)),
            Some(Fault::Nothing) => return Ok(0),
            Some(Fault::Io) => {
                let reached = self.random.below(bytes.len() as u64 + 1) as usize;
                bytes.truncate(reached);
            }
            Some(fault) => return Err(fault.error()),
        }
        let room = self.room();
        let fits = self.fitting(id, offset, bytes.len(), room);
        if fits == 0 && !bytes.is_empty() {
            return Err(Errno::NOSPC.into());
        }
        bytes.truncate(fits);
        if !bytes.is_empty() {
            let moment = self.moment();
            let inode = self.inode(id);
            inode.live.write(offset, &bytes);
            inode.pending.push(Change { moment, kind: ChangeKind::Write { offset, bytes } });
        }
        match fault {
            Some(fault @ (Fault::Io | Fault::PowerCut)) => Err(fault.error()),
            _ => Ok(fits),
        }
    }

    /// How many of `len` bytes at `offset` find room: all, or whole pages from the front.
    fn fitting(&mut self, id: u64, offset: u64, len: usize, room: u64) -> usize {
        let image = &self.inode(id).live;
        if image.missing(offset, len as u64) <= room {
            return len;
        }
        let page = super::image::PAGE;
        let mut fits = 0;
        while fits < len {
            let next = ((offset + fits as u64) / page + 1) * page - offset;
            let next = (next as usize).min(len);
            if image.missing(offset, next as u64) > room {
                break;
            }
            fits = next;
        }
        fits
    }

    pub(super) fn sync(&mut self, id: u64, name: &str) -> io::Result<()> {
        match self.begin(Operation::Sync, name)? {
            None => {
                let inode = self.inode(id);
                for change in std::mem::take(&mut inode.pending) {
                    match change.kind {
                        ChangeKind::Write { offset, bytes } => inode.durable.write(offset, &bytes),
                        ChangeKind::SetLen(len) => inode.durable.set_len(len),
                        ChangeKind::Reserve { offset, len } => inode.durable.reserve(offset, len),
                    }
                }
                Ok(())
            }
            // Whatever the power cut keeps of the pending changes is what the sync achieved.
            Some(Fault::PowerCut) => Err(Fault::PowerCut.error()),
            Some(fault) => {
                let mut fates = self.fates_of_failed_sync();
                let inode = self.inode(id);
                for change in std::mem::take(&mut inode.pending) {
                    fates.apply(&change, &mut inode.durable);
                }
                Err(fault.error())
            }
        }
    }
}
