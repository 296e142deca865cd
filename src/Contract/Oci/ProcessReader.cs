namespace KataLike.Contract.Oci;

/// <summary>config.md, "Process": from JSON to the model.</summary>
internal static class ProcessReader
{
    public static ProcessSpec Process(OciNode node) => new()
    {
        Terminal = node.Flag("terminal"),
        ConsoleSize = node.Object("consoleSize", static node => new ConsoleSize
        {
            Height = node.UInt32("height") ?? 0,
            Width = node.UInt32("width") ?? 0,
        }),
        User = node.Object("user", User) ?? Oci.User.Root,
        Args = node.Texts("args"),
        Env = node.Texts("env"),
        Cwd = node.RequiredText("cwd"),
        Capabilities = node.Object("capabilities", Capabilities),
        Rlimits = node.Objects("rlimits", static node => new Rlimit
        {
            Type = node.RequiredText("type"),
            Hard = node.UInt64("hard") ?? 0,
            Soft = node.UInt64("soft") ?? 0,
        }),
        NoNewPrivileges = node.Flag("noNewPrivileges"),
        ApparmorProfile = node.Text("apparmorProfile"),
        OomScoreAdj = node.Int32("oomScoreAdj"),
        Scheduler = node.Object("scheduler", Scheduler),
        SelinuxLabel = node.Text("selinuxLabel"),
        IoPriority = node.Object("ioPriority", static node => new IoPriority
        {
            Class = node.RequiredText("class"),
            Priority = node.Int32("priority") ?? 0,
        }),
        ExecCpuAffinity = node.Object("execCPUAffinity", static node => new ExecCpuAffinity
        {
            Initial = node.Text("initial"),
            Final = node.Text("final"),
        }),
    };

    private static User User(OciNode node) => new()
    {
        Uid = node.UInt32("uid") ?? 0,
        Gid = node.UInt32("gid") ?? 0,
        Umask = node.UInt32("umask"),
        AdditionalGids = node.UInt32s("additionalGids"),
    };

    private static Capabilities Capabilities(OciNode node) => new()
    {
        Bounding = node.Texts("bounding"),
        Effective = node.Texts("effective"),
        Inheritable = node.Texts("inheritable"),
        Permitted = node.Texts("permitted"),
        Ambient = node.Texts("ambient"),
    };

    private static Scheduler Scheduler(OciNode node) => new()
    {
        Policy = node.RequiredText("policy"),
        Nice = node.Int32("nice") ?? 0,
        Priority = node.Int32("priority") ?? 0,
        Flags = node.Texts("flags"),
        Runtime = node.UInt64("runtime") ?? 0,
        Deadline = node.UInt64("deadline") ?? 0,
        Period = node.UInt64("period") ?? 0,
    };
}
