namespace KataLike.Contract.Oci;

/// <summary>config-linux.md, "Control groups": from JSON to the model.</summary>
internal static class ResourcesReader
{
    public static Resources Resources(OciNode node) => new()
    {
        Devices = node.Objects("devices", DeviceRule),
        Memory = node.Object("memory", Memory),
        Cpu = node.Object("cpu", Cpu),
        Pids = node.Object("pids", static node => new PidsLimits { Limit = node.Int64("limit") ?? 0 }),
        BlockIo = node.Object("blockIO", BlockIo),
        HugepageLimits = node.Objects("hugepageLimits", static node => new HugepageLimit
        {
            PageSize = node.RequiredText("pageSize"),
            Limit = node.UInt64("limit") ?? 0,
        }),
        Network = node.Object("network", Network),
        Rdma = node.Map("rdma", static node => new RdmaLimits
        {
            HcaHandles = node.UInt32("hcaHandles"),
            HcaObjects = node.UInt32("hcaObjects"),
        }),
        Unified = node.TextMap("unified"),
    };

    private static DeviceRule DeviceRule(OciNode node) => new()
    {
        Allow = node.Flag("allow"),
        Type = node.Text("type"),
        Major = node.Int64("major"),
        Minor = node.Int64("minor"),
        Access = node.Text("access"),
    };

    private static MemoryLimits Memory(OciNode node) => new()
    {
        Limit = node.Int64("limit"),
        Reservation = node.Int64("reservation"),
        Swap = node.Int64("swap"),
        Kernel = node.Int64("kernel"),
        KernelTcp = node.Int64("kernelTCP"),
        Swappiness = node.UInt64("swappiness"),
        DisableOomKiller = node.OptionalFlag("disableOOMKiller"),
        UseHierarchy = node.OptionalFlag("useHierarchy"),
        CheckBeforeUpdate = node.OptionalFlag("checkBeforeUpdate"),
    };

    private static CpuLimits Cpu(OciNode node) => new()
    {
        Shares = node.UInt64("shares"),
        Quota = node.Int64("quota"),
        Burst = node.UInt64("burst"),
        Period = node.UInt64("period"),
        RealtimeRuntime = node.Int64("realtimeRuntime"),
        RealtimePeriod = node.UInt64("realtimePeriod"),
        Cpus = node.Text("cpus"),
        Mems = node.Text("mems"),
        Idle = node.Int64("idle"),
    };

    private static BlockIoLimits BlockIo(OciNode node) => new()
    {
        Weight = node.UInt16("weight"),
        LeafWeight = node.UInt16("leafWeight"),
        WeightDevice = node.Objects("weightDevice", static node => new WeightDevice
        {
            Major = node.Int64("major") ?? 0,
            Minor = node.Int64("minor") ?? 0,
            Weight = node.UInt16("weight"),
            LeafWeight = node.UInt16("leafWeight"),
        }),
        ThrottleReadBpsDevice = node.Objects("throttleReadBpsDevice", Throttle),
        ThrottleWriteBpsDevice = node.Objects("throttleWriteBpsDevice", Throttle),
        ThrottleReadIopsDevice = node.Objects("throttleReadIOPSDevice", Throttle),
        ThrottleWriteIopsDevice = node.Objects("throttleWriteIOPSDevice", Throttle),
    };

    private static ThrottleDevice Throttle(OciNode node) => new()
    {
        Major = node.Int64("major") ?? 0,
        Minor = node.Int64("minor") ?? 0,
        Rate = node.UInt64("rate") ?? 0,
    };

    private static NetworkLimits Network(OciNode node) => new()
    {
        ClassId = node.UInt32("classID"),
        Priorities = node.Objects("priorities", static node => new InterfacePriority
        {
            Name = node.RequiredText("name"),
            Priority = node.UInt32("priority") ?? 0,
        }),
    };
}
