using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// AppArmor profiles and SELinux labels. They are rules of the host's kernel, and callers give them where that kernel has
/// the module; the container runs under another kernel, which has none. So a label that the host could apply is passed
/// over with a warning, and one that it could not is the error that it is with runc.
/// </summary>
internal static class SecurityLabels
{
    private static readonly bool _hasAppArmor = Directory.Exists("/sys/kernel/security/apparmor") || IsEnabled("/sys/module/apparmor/parameters/enabled");
    private static readonly bool _hasSelinux = Directory.Exists("/sys/fs/selinux");

    /// <exception cref="RuntimeException">A label for a module that the host does not have.</exception>
    public static void Check(Spec spec, Action<string> warn)
    {
        const string noAppArmor = "unable to apply apparmor profile: apparmor: config provided but apparmor not supported";
        const string noSelinux = "selinux label is specified in config, but selinux is disabled or not supported";
        Check(_hasAppArmor, spec.Process?.ApparmorProfile, "process.apparmorProfile", noAppArmor, warn);
        Check(_hasSelinux, spec.Process?.SelinuxLabel, "process.selinuxLabel", noSelinux, warn);
        Check(_hasSelinux, spec.Linux?.MountLabel, "linux.mountLabel", noSelinux, warn);
    }

    internal static void Check(bool hostHasModule, string? label, string field, string refusal, Action<string> warn)
    {
        if (string.IsNullOrEmpty(label))
            return;
        if (!hostHasModule)
            throw new RuntimeException($"{field} {label}: {refusal}");
        warn($"{field} {label} is not applied: the container has a kernel of its own, which has no such module");
    }

    private static bool IsEnabled(string parameter)
    {
        try
        {
            return File.ReadAllText(parameter).StartsWith('Y');
        }
        catch (IOException)
        {
            return false;
        }
    }
}
