namespace KataLike.Contract.Oci;

/// <summary>config-linux.md, without its resources: from JSON to the model.</summary>
internal static class LinuxReader
{
    public static LinuxSpec Linux(OciNode node) => new()
    {
        UidMappings = node.Objects("uidMappings", SpecReader.IdMapping),
        GidMappings = node.Objects("gidMappings", SpecReader.IdMapping),
        Sysctl = node.TextMap("sysctl"),
        Resources = node.Object("resources", ResourcesReader.Resources),
        CgroupsPath = node.Text("cgroupsPath"),
        Namespaces = node.Objects("namespaces", static node => new Namespace
        {
            Type = node.RequiredText("type"),
            Path = node.Text("path"),
        }),
        Devices = node.Objects("devices", Device),
        NetDevices = node.Map("netDevices", static node => new NetDevice { Name = node.Text("name") }),
        Seccomp = node.Object("seccomp", Seccomp),
        RootfsPropagation = node.Text("rootfsPropagation"),
        MaskedPaths = node.Texts("maskedPaths"),
        ReadonlyPaths = node.Texts("readonlyPaths"),
        MountLabel = node.Text("mountLabel"),
        IntelRdt = node.Object("intelRdt", IntelRdt),
        MemoryPolicy = node.Object("memoryPolicy", static node => new MemoryPolicy
        {
            Mode = node.RequiredText("mode"),
            Nodes = node.Text("nodes"),
            Flags = node.Texts("flags"),
        }),
        Personality = node.Object("personality", static node => new Personality
        {
            Domain = node.RequiredText("domain"),
            Flags = node.Texts("flags"),
        }),
        TimeOffsets = node.Map("timeOffsets", static node => new TimeOffset
        {
            Secs = node.Int64("secs") ?? 0,
            Nanosecs = node.UInt32("nanosecs") ?? 0,
        }),
    };

    private static Device Device(OciNode node) => new()
    {
        Path = node.RequiredText("path"),
        Type = node.RequiredText("type"),
        Major = node.Int64("major") ?? 0,
        Minor = node.Int64("minor") ?? 0,
        FileMode = node.UInt32("fileMode"),
        Uid = node.UInt32("uid"),
        Gid = node.UInt32("gid"),
    };

    private static IntelRdt IntelRdt(OciNode node) => new()
    {
        ClosId = node.Text("closID"),
        Schemata = node.Texts("schemata"),
        L3CacheSchema = node.Text("l3CacheSchema"),
        MemBwSchema = node.Text("memBwSchema"),
        EnableMonitoring = node.Flag("enableMonitoring"),
    };

    private static Seccomp Seccomp(OciNode node) => new()
    {
        DefaultAction = node.RequiredText("defaultAction"),
        DefaultErrnoRet = node.UInt32("defaultErrnoRet"),
        Architectures = node.Texts("architectures"),
        Flags = node.Texts("flags"),
        ListenerPath = node.Text("listenerPath"),
        ListenerMetadata = node.Text("listenerMetadata"),
        Syscalls = node.Objects("syscalls", static node => new SeccompRule
        {
            Names = node.Texts("names"),
            Action = node.RequiredText("action"),
            ErrnoRet = node.UInt32("errnoRet"),
            Args = node.Objects("args", static node => new SeccompArgument
            {
                Index = node.UInt32("index") ?? 0,
                Value = node.UInt64("value") ?? 0,
                ValueTwo = node.UInt64("valueTwo") ?? 0,
                Op = node.RequiredText("op"),
            }),
        }),
    };
}
