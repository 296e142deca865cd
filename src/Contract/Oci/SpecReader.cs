namespace KataLike.Contract.Oci;

/// <summary>config.md: from JSON to the model.</summary>
internal static class SpecReader
{
    public static Spec Spec(OciNode node) => new()
    {
        OciVersion = node.RequiredText("ociVersion"),
        Process = node.Object("process", ProcessReader.Process),
        Root = node.Object("root", Root),
        Hostname = node.Text("hostname"),
        Domainname = node.Text("domainname"),
        Mounts = node.Objects("mounts", Mount),
        Hooks = node.Object("hooks", Hooks),
        Annotations = node.TextMap("annotations"),
        Linux = node.Object("linux", LinuxReader.Linux),
        Vm = node.Object("vm", Vm),
    };

    public static IdMapping IdMapping(OciNode node) => new()
    {
        ContainerId = node.UInt32("containerID") ?? 0,
        HostId = node.UInt32("hostID") ?? 0,
        Size = node.UInt32("size") ?? 0,
    };

    private static Root Root(OciNode node) => new()
    {
        Path = node.RequiredText("path"),
        Readonly = node.Flag("readonly"),
    };

    private static Mount Mount(OciNode node) => new()
    {
        Destination = node.RequiredText("destination"),
        Type = node.Text("type"),
        Source = node.Text("source"),
        Options = node.Texts("options"),
        UidMappings = node.Objects("uidMappings", IdMapping),
        GidMappings = node.Objects("gidMappings", IdMapping),
    };

    private static Hooks Hooks(OciNode node) => new()
    {
        Prestart = node.Objects("prestart", Hook),
        CreateRuntime = node.Objects("createRuntime", Hook),
        CreateContainer = node.Objects("createContainer", Hook),
        StartContainer = node.Objects("startContainer", Hook),
        Poststart = node.Objects("poststart", Hook),
        Poststop = node.Objects("poststop", Hook),
    };

    private static Hook Hook(OciNode node) => new()
    {
        Path = node.RequiredText("path"),
        Args = node.Texts("args"),
        Env = node.Texts("env"),
        Timeout = node.Int32("timeout"),
    };

    private static VmSpec Vm(OciNode node) => new()
    {
        Hypervisor = node.Object("hypervisor", static node => new VmHypervisor
        {
            Path = node.Text("path"),
            Parameters = node.Texts("parameters"),
        }),
        Kernel = node.Object("kernel", static node => new VmKernel
        {
            Path = node.RequiredText("path"),
            Parameters = node.Texts("parameters"),
            Initrd = node.Text("initrd"),
        }),
        Image = node.Object("image", static node => new VmImage
        {
            Path = node.RequiredText("path"),
            Format = node.RequiredText("format"),
        }),
        HwConfig = node.Object("hwConfig", VmHardware),
    };

    private static VmHardware VmHardware(OciNode node) => new()
    {
        DeviceTree = node.Text("deviceTree"),
        Vcpus = node.UInt32("vcpus"),
        Memory = node.UInt64("memory"),
        Dtdevs = node.Texts("dtdevs"),
        Iomems = node.Objects("iomems", static node => new VmIoMemory
        {
            FirstGfn = node.UInt64("firstGFN"),
            FirstMfn = node.UInt64("firstMFN"),
            NrMfns = node.UInt64("nrMFNs"),
        }),
        Irqs = node.UInt32s("irqs"),
    };
}
