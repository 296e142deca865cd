using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace KataLike.Linux.Tests;

/// <summary>
/// Every constant and layout of <see cref="Libc"/> is what the C headers say. HeaderChecks/*.txt hold, line by line,
/// #include, CONST NAME VALUE, SIZE "TYPE" BYTES and OFFSET "TYPE" FIELD BYTES; gcc proves them against the headers, and
/// reflection proves our own fields against them.
/// </summary>
public class HeaderChecksTests
{
    // Ours, not of any header: the sizes of headers that the headers know as types.
    private static readonly string[] _ours = ["CMSG_HEADER", "NLMSG_HEADER", "RTATTR_HEADER"];

    private static string Folder => Path.Combine(AppContext.BaseDirectory, "HeaderChecks");

    public static TheoryData<string> Tables => new(Directory.GetFiles(Folder, "*.txt").Select(Path.GetFileName)!);

    private sealed record Check(string Kind, string Name, string Field, string Value);

    private static IEnumerable<Check> Checks(string table)
    {
        foreach (var line in File.ReadLines(Path.Combine(Folder, table)).Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#'))
        {
            var quoted = line.Split('"');
            var words = quoted[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            yield return quoted.Length == 1
                ? new Check(words[0], words[1], "", words[2])
                : new Check(quoted[0].Trim(), quoted[1], words.Length > 1 ? words[0] : "", words[^1]);
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Tables))]
    public async Task HeadersAgree(string table)
    {
        Skip.IfNot(File.Exists("/usr/bin/gcc"), "needs gcc");
        var code = new StringBuilder("#define _GNU_SOURCE\n#include <stddef.h>\n");
        foreach (var line in File.ReadLines(Path.Combine(Folder, table)).Where(line => line.StartsWith('#')))
            code.AppendLine(line);
        foreach (var check in Checks(table))
        {
            var expression = check.Kind switch
            {
                "CONST" => $"(unsigned long long)({check.Name}) == (unsigned long long)({check.Value})",
                "SIZE" => $"sizeof({check.Name}) == {check.Value}",
                "OFFSET" => $"offsetof({check.Name}, {check.Field}) == {check.Value}",
                _ => throw new InvalidDataException($"{table}: {check.Kind} is no kind of check"),
            };
            // By the low 32 bits where a constant is declared as a signed number here and as an unsigned one there.
            code.AppendLine(check.Kind == "CONST"
                ? $"_Static_assert({expression} || (unsigned)({check.Name}) == (unsigned)({check.Value}), \"{check.Name}\");"
                : $"_Static_assert({expression}, \"{check.Name} {check.Field}\");");
        }
        Assert.Equal("", await Compile(code.ToString()));
    }

    private static async Task<string> Compile(string code)
    {
        var source = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(source, code);
            var (read, write) = Files.Pipe();
            using (read)
            {
                ChildProcess gcc;
                using (write)
                {
                    gcc = ChildProcess.Start(new ProcessStart
                    {
                        Path = "/usr/bin/gcc",
                        Arguments = ["gcc", "-std=gnu11", "-fsyntax-only", "-I", Folder, "-x", "c", source],
                        Environment = ["PATH=/usr/bin:/bin", "LC_ALL=C"],
                        Descriptors = [(write, 1), (write, 2)],
                    });
                }
                using (gcc)
                {
                    var output = new MemoryStream();
                    var buffer = new byte[4096];
                    for (int count; (count = Files.Read(read, buffer)) > 0;)
                        output.Write(buffer, 0, count);
                    await gcc.Exited;
                    return Encoding.UTF8.GetString(output.ToArray());
                }
            }
        }
        finally
        {
            File.Delete(source);
        }
    }

    [Fact]
    public void EveryConstantIsInATable()
    {
        var known = Directory.GetFiles(Folder, "*.txt").SelectMany(Checks).Where(check => check.Kind == "CONST").ToLookup(check => check.Name, check => Number(check.Value));
        var constants = typeof(Libc).GetFields(BindingFlags.Static | BindingFlags.NonPublic).Where(field => field.IsLiteral).ToList();
        Assert.Empty(constants.Select(field => field.Name).Where(name => !known.Contains(name)).Except(_ours));
        foreach (var field in constants.Where(field => known.Contains(field.Name)))
        {
            var value = unchecked((uint)Convert.ToInt64(field.GetRawConstantValue() is ulong big ? (long)big : field.GetRawConstantValue(), CultureInfo.InvariantCulture));
            Assert.All(known[field.Name], expected => Assert.True(unchecked((uint)expected) == value, $"{field.Name} is {value}, the headers say {expected}"));
        }
    }

    [Fact]
    [SuppressMessage("Interoperability", "CA1421", Justification = "the structures are blittable")]
    public void StructuresOfTheSameNameHaveTheSameLayout()
    {
        var structures = typeof(Libc).GetNestedTypes(BindingFlags.NonPublic).ToDictionary(type => type.Name);
        foreach (var check in Directory.GetFiles(Folder, "*.txt").SelectMany(Checks).Where(check => check.Kind != "CONST"))
        {
            if (!structures.TryGetValue(check.Name.Replace("struct ", "", StringComparison.Ordinal), out var type))
                continue;
            if (check.Kind == "SIZE")
                Assert.Equal((int)Number(check.Value), Marshal.SizeOf(type));
            else if (type.GetField(check.Field, BindingFlags.Instance | BindingFlags.NonPublic) is not null)
                Assert.Equal((int)Number(check.Value), (int)Marshal.OffsetOf(type, check.Field));
        }
    }

    private static long Number(string text) => text.StartsWith("0x", StringComparison.Ordinal)
        ? unchecked((long)ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture))
        : long.Parse(text, CultureInfo.InvariantCulture);
}
