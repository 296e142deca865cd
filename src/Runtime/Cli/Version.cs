using System.Reflection;

namespace KataLike.Runtime.Cli;

/// <summary>What --version prints.</summary>
internal static class Version
{
    /// <summary>The version of the runtime specification that is followed.</summary>
    public const string Specification = "1.3.0";

    public static Flag Flag { get; } = Cli.Flag.Boolean("version, v", "print the version");

    public static string Program { get; } = Informational.Split('+')[0];

    /// <summary>Without the program's name in front: the same text serves --help.</summary>
    public static string Text { get; } =
        $"{Program}\ncommit: {(Informational.Contains('+') ? Informational.Split('+')[1] : "unknown")}\nspec: {Specification}\ndotnet: {Environment.Version}\n".TrimEnd();

    private static string Informational =>
        typeof(Version).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
}
