"""The exceptions of the predecessor's manual, by their old names: what its scripts catch."""

from __future__ import annotations

from engine import errors
from engine.errors import (
    BuildFailed,
    CopyFailed,
    DeployFailed,
    EngineError,
    GuestError,
    GuestfsError,
    HostError,
    InitFileError,
    LeaseError,
    LeaseLockTimeout,
    MachineStateError,
    PathNotFound,
    PrefixExists,
    PrefixNotFound,
    ServiceFailed,
    SnapshotError,
    SshTimeout,
    SubnetOutOfRange,
    SubnetsExhausted,
    SubnetTaken,
    TemplateMissing,
    UnknownMachine,
    WorkdirError,
)

LagoException = EngineError
LagoUserException = EngineError
LagoInitException = InitFileError
LagoUnknownVMTypeError = errors.ConfigError
LagoVMNotRunningError = MachineStateError
LagoVMDoesNotExistError = UnknownMachine
LagoFailedToGetVMStateError = HostError
LagoLocalLibvirtVMProviderException = HostError
LagoCopyFilesToVMError = CopyFailed
LagoCopyFilesFromVMError = CopyFailed
LagoDeployError = DeployFailed
LagoSSHTimeoutException = SshTimeout
LagoSshTimeoutException = SshTimeout
LagoSSTimeoutException = SshTimeout
LagoMissingTemplateError = TemplateMissing
LagoPrefixAlreadyExistsError = PrefixExists
LagoSubnetLeaseException = LeaseError
LagoSubnetLeaseLockException = LeaseLockTimeout
LagoSubnetLeaseStoreFullException = SubnetsExhausted
LagoSubnetLeaseTakenException = SubnetTaken
LagoSubnetLeaseOutOfRangeException = SubnetOutOfRange
LagoSubnetLeaseMalformedAddrException = SubnetOutOfRange
LagoSubnetLeaseBadPermissionsException = LeaseError
VMError = GuestError
ExtractPathError = CopyFailed
ExtractPathNoPathError = PathNotFound
BuildException = BuildFailed
GuestFSError = GuestfsError
MalformedWorkdir = WorkdirError
TimerException = LeaseLockTimeout

__all__ = [
    "BuildException",
    "ExtractPathError",
    "ExtractPathNoPathError",
    "GuestFSError",
    "LagoCopyFilesFromVMError",
    "LagoCopyFilesToVMError",
    "LagoDeployError",
    "LagoException",
    "LagoFailedToGetVMStateError",
    "LagoInitException",
    "LagoLocalLibvirtVMProviderException",
    "LagoMissingTemplateError",
    "LagoPrefixAlreadyExistsError",
    "LagoSSHTimeoutException",
    "LagoSSTimeoutException",
    "LagoSshTimeoutException",
    "LagoSubnetLeaseBadPermissionsException",
    "LagoSubnetLeaseException",
    "LagoSubnetLeaseLockException",
    "LagoSubnetLeaseMalformedAddrException",
    "LagoSubnetLeaseOutOfRangeException",
    "LagoSubnetLeaseStoreFullException",
    "LagoSubnetLeaseTakenException",
    "LagoUnknownVMTypeError",
    "LagoUserException",
    "LagoVMDoesNotExistError",
    "LagoVMNotRunningError",
    "MalformedWorkdir",
    "PrefixNotFound",
    "ServiceFailed",
    "SnapshotError",
    "TimerException",
    "VMError",
    "WorkdirError",
]
