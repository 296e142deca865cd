using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace KataLike.Contract.Containerd;

/// <summary>The type_url strings of containerd's Any values: the full name, without the prefix that protobuf puts before it.</summary>
/// <remarks>Constants in place of Any.Pack, which needs descriptors: those cost start-up time and add the prefix.</remarks>
public static class TypeUrl
{
    public const string TaskCreate = "containerd.events.TaskCreate";
    public const string TaskStart = "containerd.events.TaskStart";
    public const string TaskExit = "containerd.events.TaskExit";
    public const string TaskDelete = "containerd.events.TaskDelete";
    public const string TaskOOM = "containerd.events.TaskOOM";
    public const string TaskExecAdded = "containerd.events.TaskExecAdded";
    public const string TaskExecStarted = "containerd.events.TaskExecStarted";
    public const string TaskPaused = "containerd.events.TaskPaused";
    public const string TaskResumed = "containerd.events.TaskResumed";
    public const string TaskCheckpointed = "containerd.events.TaskCheckpointed";
    public const string CgroupsV1Metrics = "io.containerd.cgroups.v1.Metrics";
    public const string CgroupsV2Metrics = "io.containerd.cgroups.v2.Metrics";
    public const string RuncOptions = "containerd.runc.v1.Options";
    public const string RuntimeOptions = "runtimeoptions.v1.Options";
    public const string MountCapabilities = "containerd.types.MountCapabilities";
    public const string ProcessDetails = "containerd.runc.v1.ProcessDetails";

    /// <summary>The process object of Exec, as JSON.</summary>
    public const string OciProcess = "types.containerd.io/opencontainers/runtime-spec/1/Process";

    /// <summary>linux.resources of Update, as JSON.</summary>
    public const string OciLinuxResources = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

    public static Any Pack(string typeUrl, IMessage message) =>
        new() { TypeUrl = typeUrl, Value = message.ToByteString() };
}
