namespace KataLike.Runtime;

/// <summary>
/// Where QEMU, virtiofsd and the guest's files are: what the configuration names, else
/// <c>../share/katalike</c> beside the executable, else the system's usual places.
/// </summary>
/// <exception cref="RuntimeException">Each, where the file is missing: says what to do.</exception>
internal sealed record ProgramPaths(string Qemu, string Virtiofsd, string Kernel, string Initrd, string? Qboot)
{
    private static string Share => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../share/katalike"));

    public static ProgramPaths Find(Configuration configuration)
    {
        var (qemu, virtiofsd) = (FindQemu(configuration), FindVirtiofsd(configuration));
        var (kernel, initrd) = FindGuest(configuration);
        var qboot = Array.Find(["/usr/share/qemu/qboot.rom", "/usr/share/qemu-kvm/qboot.rom"], File.Exists);
        return new ProgramPaths(qemu, virtiofsd, kernel, initrd, qboot);
    }

    /// <summary>The guest's kernel and initrd.</summary>
    public static (string Kernel, string Initrd) FindGuest(Configuration configuration) => (
        Choose("kernel", configuration.Kernel, [$"{Share}/vmlinux"], "build it with ./dev build"),
        Choose("initrd", configuration.Initrd, [$"{Share}/initrd"], "build it with ./dev build"));

    public static string FindQemu(Configuration configuration) =>
        Choose("qemu", configuration.Qemu, OnPath("qemu-system-x86_64"), "install qemu-system-x86");

    public static string FindVirtiofsd(Configuration configuration) => Choose(
        "virtiofsd", configuration.Virtiofsd,
        [$"{Share}/virtiofsd", .. OnPath("virtiofsd"), "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"],
        "install qemu-system-common (Debian 12) or virtiofsd");

    private static IEnumerable<string> OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") is { Length: > 0 } path ? path : "/usr/sbin:/usr/bin:/sbin:/bin")
            .Split(':').Where(Path.IsPathRooted).Select(directory => Path.Combine(directory, program));

    private static string Choose(string key, string? configured, IEnumerable<string> usual, string remedy)
    {
        if (configured is not null)
            return File.Exists(configured)
                ? configured
                : throw new RuntimeException($"{key} {configured}: no such file (from the configuration)");
        return usual.FirstOrDefault(File.Exists)
            ?? throw new RuntimeException($"{key} not found: {remedy}, or set {key} in {Configuration.DefaultPath}");
    }
}
